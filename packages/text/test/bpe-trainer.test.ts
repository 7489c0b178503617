import { DataError } from '@vwn/core';
import fc from 'fast-check';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { endOfText, readCorpus, Tokenizer, trainBpe } from '../src/index';

const fixtures = new URL('./fixtures/', import.meta.url).pathname;
const readJson = (name: string) => JSON.parse(readFileSync(fixtures + name, 'utf8'));

describe('byte-level BPE training', () => {
  it('makes the tokenizer.json that Hugging Face’s trainer makes, field for field', () => {
    expect(trainBpe(readJson('training-text.json'), { vocabSize: 600 })).toEqual(readJson('gpt2/tokenizer.json'));
  });

  it('merges the most frequent pair first, of equal ones that of lower ids, and never across words', () => {
    const { model } = trainBpe(['ab ab ab cd cd cd dc dc dc xy'], { vocabSize: 1000 });
    expect((model.merges as string[][]).slice(0, 3)).toEqual([
      ['a', 'b'], // 3 times, as the next ones; ab stands first in the vocabulary
      ['c', 'd'],
      ['d', 'c'],
    ]);
    expect(model.merges).not.toContainEqual(['x', 'y']); // occurs once only
    expect(Object.keys(model.vocab).join()).not.toMatch(/b\u0120/);
  });

  it('gives each token one id, without gaps, and every merge its two parts', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'b', 'c', ' ', 'é'), maxLength: 200 });
    fc.assert(
      fc.property(fc.array(text, { maxLength: 4 }), fc.integer({ min: 257, max: 330 }), (texts, vocabSize) => {
        const { model } = trainBpe(texts, { vocabSize, minFrequency: 1 });
        const ids = Object.values(model.vocab);
        expect([...ids].sort((a, b) => a - b)).toEqual([...ids.keys()]);
        expect(ids.length).toBeLessThanOrEqual(vocabSize);
        for (const [left = '', right = ''] of model.merges as string[][]) {
          expect(model.vocab).toHaveProperty([left]);
          expect(model.vocab).toHaveProperty([right]);
          expect(model.vocab).toHaveProperty([left + right]);
        }
      }),
      { numRuns: 60 },
    );
  });

  it('gives tokenizers that restore any text', () => {
    const tokenizer = Tokenizer.fromJson(trainBpe(['the then there these other'], { vocabSize: 270 }));
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 60 }), (text) => {
        expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
        expect(Math.max(-1, ...tokenizer.encode(text))).toBeLessThan(tokenizer.vocabSize);
      }),
    );
  });

  it('does not learn the end of text as text', () => {
    const { model } = trainBpe([`${endOfText}a`.repeat(50)], { vocabSize: 400 });
    expect(model.merges).toEqual([]);
  });

  it('learns 4096 tokens from the bundled corpus in seconds, telling how far it is', async () => {
    const texts = (await readCorpus('sotu')).map(({ text }) => text);
    const steps: [number, number][] = [];
    const started = performance.now();
    const { model } = trainBpe(texts, { vocabSize: 4096, onProgress: (...step) => steps.push(step) });
    expect(performance.now() - started).toBeLessThan(30_000);
    expect(Object.keys(model.vocab).length).toBe(4096);
    expect(steps[0]).toEqual([512, 4096]);
    expect(steps.at(-1)).toEqual([4096, 4096]);
    expect((model.merges as string[][]).slice(0, 4).map((pair) => pair.join(''))).toEqual(['Ġt', 'Ġth', 'Ġa', 'Ġthe']);
  });

  it('refuses a vocabulary that cannot hold the bytes', () => {
    expect(() => trainBpe([], { vocabSize: 256 })).toThrow(DataError);
    expect(() => trainBpe([], { vocabSize: 256 })).toThrow(
      /at least 257 tokens: <\|endoftext\|> and 256 bytes, got 256/,
    );
    expect(() => trainBpe([], { vocabSize: 300.5 })).toThrow(DataError);
  });
});
