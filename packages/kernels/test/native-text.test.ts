import { BackendError } from '@vwn/core';
import { describe, expect, it } from 'vitest';
import { kernelFailed, partsOf } from '../src/native-text';

describe('a native text', () => {
  it.each([
    ['buffer 0 has no memory', { got: 'buffer 0 has no memory' }],
    ['a buffer is of int32, and must be of float32', { got: 'a buffer is of int32', expected: 'float32' }],
    ['it has 2 numbers, and must have 3 numbers', { got: 'it has 2 numbers', expected: '3 numbers' }],
    [
      'id 9 is outside, and must be 0 … 2; check the tokenizer: it may be another’s',
      { got: 'id 9 is outside', expected: '0 … 2', hint: 'Check the tokenizer: it may be another’s' },
    ],
    ['X is a, and must be a number: correct it', { got: 'X is a', expected: 'a number', hint: 'Correct it' }],
    ['out of memory: no room; use less', { got: 'out of memory: no room', hint: 'Use less' }],
    ['offsets must rise from 0', { got: 'offsets must rise from 0' }],
    ['', { got: '' }],
  ])('is told part by part, and loses nothing: %s', (text, parts) => expect(partsOf(text)).toEqual(parts));

  it('of a kernel becomes a BackendError with its name and these parts', () => {
    const error = kernelFailed('fill', new Error('a is 1, and must be 2; do b'));
    expect(error).toMatchObject({ name: 'BackendError', expected: '2', got: 'a is 1', hint: 'Do b' });
    expect(error.message).toBe('kernel fill failed: expected 2, got a is 1. Do b');
  });

  it('that is a typed error’s is not taken apart again', () => {
    const { got, hint } = kernelFailed('fill', new BackendError('there is none; really', { hint: 'Do b' }));
    expect({ got, hint }).toEqual({ got: 'there is none; really. Do b', hint: undefined });
  });
});
