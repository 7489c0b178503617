/** No call of a native function, however wrong, ends the process or is carried out. */
import * as tf from '@tensorflow/tfjs-core';
import { BackendError, embeddingLookup, groupedLinear, linearCrossEntropy } from '@vwn/core';
import { StorageType, type NativeBlock } from '@vwn/kernels';
import { loadLibrary } from '@vwn/kernels-cpu';
import { beforeAll, expect, it } from 'vitest';
import { runChild } from './support/child';
import { attempts } from './support/misuse-calls';
import { describeNative, nativeBackend } from './support/native';

const functions = [...new Set(attempts.map((each) => each.function))];

/** The outcome of every attempt. One that ends the process is its signal, and the next process goes on behind it. */
async function outcomes(): Promise<string[]> {
  const all: string[] = [];
  for (let crashes = 0; all.length < attempts.length && crashes < 20; crashes++) {
    const { status, stdout } = await runChild('misuse.ts', { args: [String(all.length)], timeoutMs: 20_000 });
    all.push(...stdout.split('\n').slice(0, -1));
    if (all.length < attempts.length) all.push(`ended the process with ${status}`);
  }
  return all;
}

describeNative('a call', () => {
  let results: string[] = [];
  beforeAll(async () => {
    results = await outcomes();
  }, 120_000);

  const resultsOf = (name: string, isWrong: boolean) =>
    attempts.flatMap((each, i) =>
      each.function === name && (each.wrong !== '') === isWrong ? [[each.wrong, results[i]] as const] : [],
    );

  it('is tried of every function that the library has', () => {
    expect([...functions].sort()).toEqual([...nativeBackend().library.functions].sort());
    expect(results).toHaveLength(attempts.length);
  });

  it.each(functions)('that is right is carried out: %s', (name) => {
    const others = resultsOf(name, false).filter(([, outcome]) => outcome !== 'accepted');
    expect(others).toEqual([]);
  });

  it.each(functions)('with wrong buffers or numbers is refused, with the text of the function: %s', (name) => {
    const wrong = resultsOf(name, true);
    expect(wrong.length).toBeGreaterThan(5);
    expect(wrong.filter(([, outcome]) => outcome !== 'refused')).toEqual([]);
  });

  it('says which function failed and why', () => {
    const x = tf.ones([4]);
    const call = () => nativeBackend().call('matmul', [x, x, x], [4, 4, 4, 0, 0, 0, 1, 0, 0]);
    expect(call).toThrow(BackendError);
    expect(call).toThrow('kernel matmul failed: expected 16 elements by the dimensions, got buffer 0 has 4 elements');
  });

  it('says which buffer or number is wrong, what it is, and what it must be', () => {
    const [x, ids] = [tf.ones([4]), tf.zeros([4], 'int32')];
    const call = (operands: tf.Tensor[], numbers: number[]) => () => nativeBackend().call('swiglu', operands, numbers);
    const product = (b: tf.Tensor, K: number) => () =>
      nativeBackend().call('matmul', [x, b, x], [2, 2, K, 0, 0, 0, 1, 0, 0]);
    expect(call([x, x], [4])).toThrow('expected at least 3 buffers, got the call has 2 buffers');
    expect(call([x, x, x], [])).toThrow('expected at least 1 numbers, got the call has 0 numbers');
    expect(call([x, x, x], [-1])).toThrow('expected a size from 0 to 2^53, got number 0 is -1');
    expect(call([x, ids, x], [4])).toThrow('expected one type, got buffers 0 and 1 are of float32 and int32');
    expect(product(ids, 2)).toThrow('expected float32 or bf16, got buffer 1 is of int32');
    expect(product(x, 2 ** 53)).toThrow(
      'expected 18014398509481984 elements by the dimensions, got buffer 0 has 4 elements',
    );
  });

  it('of a function that the library lacks is refused, and so are more operands than a call takes', () => {
    const x = tf.ones([1]);
    expect(() => nativeBackend().call('no_such_function', [x], [])).toThrow('has no function no_such_function');
    expect(() => nativeBackend().call('global_norm', new Array(30_000).fill(x), [])).toThrow('more than a call takes');
  });

  it('takes as many operands as the text says that refuses one more', () => {
    const [x, result] = [tf.ones([1]), tf.zeros([1])];
    const normOf = (tensors: number) =>
      nativeBackend().call('global_norm', [...new Array<tf.Tensor>(tensors).fill(x), result], []);
    normOf(21_843);
    expect(result.dataSync()[0]).toBeCloseTo(Math.sqrt(21_843), 3);
    expect(() => normOf(21_844)).toThrow(
      '21845 operands are more than a call takes: expected at most 21844, got 21845',
    );
  });

  it.each([
    [
      'an id outside the table',
      () => embeddingLookup(tf.ones([3, 2]), tf.tensor1d([0, 9, 7], 'int32')),
      { got: 'token id 9 is outside the table of 3 rows', expected: '0 … 2' },
      'Check that the tokenizer belongs to the model',
    ],
    [
      'a target outside the vocabulary',
      () => linearCrossEntropy(tf.ones([2, 5]), tf.ones([3, 5]), tf.tensor1d([1, 3], 'int32')),
      { got: 'target 3 is outside the vocabulary of 3 words', expected: '0 … 2 or the ignored index -100' },
      'Check that the tokenizer belongs to the model',
    ],
    [
      'offsets that do not rise',
      () => groupedLinear(tf.ones([4, 2]), [tf.ones([3, 2]), tf.ones([3, 2])], tf.tensor1d([0, 5, 4], 'int32')),
      { got: 'offsets do not share out the rows of x', expected: 'numbers that rise from 0 to 4' },
      'Sort rows by group: offsets[e] is the first row of group e, the last offset their number',
    ],
  ])('with %s says which, what it must be, and what to do', (_what, run, parts, hint) => {
    const call = () => tf.tidy(() => void run());
    expect(call).toThrow(expect.objectContaining({ name: 'BackendError', ...parts, hint }));
    expect(call).toThrow(`failed: expected ${parts.expected}, got ${parts.got}. ${hint}`);
  });

  it.each(['string', 'complex64'])('with a tensor of %s is refused as a typed error', (dtype) => {
    const x = dtype === 'string' ? tf.tensor1d(['a']) : tf.complex([1], [2]);
    expect(() => nativeBackend().call('fill', [x], [1, 0])).toThrow(BackendError);
  });
});

describeNative('the addon', () => {
  it('refuses a malformed argument array and an index of no function', () => {
    const library = loadLibrary();
    for (const [buffers, numbers] of [
      [-1, 0],
      [NaN, 0],
      [1e9, 0],
      [0, -1],
      [0, NaN],
      [0, 1e9],
      [21_000, 5_000],
    ] as const) {
      library.arguments.fill(0, 0, 9);
      library.arguments.set([0, buffers, numbers]);
      expect(() => library.run(), `${buffers} buffers, ${numbers} numbers`).toThrow('malformed');
    }
    for (const index of [-1, NaN, Infinity, library.functions.length]) {
      library.arguments.set([index, 0, 0]);
      expect(() => library.run(), `function ${index}`).toThrow('no function of this index');
    }
  });

  it('refuses a buffer at address 0', () => {
    const library = loadLibrary();
    library.arguments.set([library.functions.indexOf('fill'), 1, 2, 0, 4, 0, 4, 1]);
    expect(() => library.run()).toThrow('buffer 0 has no memory');
  });

  it('refuses calls that end before they are whole, and says which function a list of calls failed at', () => {
    const library = loadLibrary();
    const fill = library.functions.indexOf('fill');
    const block = library.allocate(64) as NativeBlock;
    const good = [fill, 1, 2, block.address, 4, StorageType.f32, 4, 7];
    expect(() => library.runAll(Float64Array.from([...good, ...good.slice(0, -1)]))).toThrow('malformed');
    expect([...new Float32Array(block.buffer, 0, 4)]).toEqual([7, 7, 7, 7]);
    expect(() => library.runAll(Float64Array.from([...good, 0, 0]))).toThrow('no function of this index');
    expect(() => library.runAll(Float64Array.from([...good, fill, 1, 2, 0, 4, 0, 4, 1]))).toThrow('has no memory');
    expect(library.arguments[0]).toBe(fill);
    expect(() => library.runAll([fill] as never)).toThrow('a Float64Array of calls is needed');
    library.runAll(new Float64Array(0));
  });

  it('refuses sizes of memory and numbers of threads that are none, and says null when there is no memory', () => {
    const library = loadLibrary();
    for (const bytes of [0, -1, NaN, 1e17]) expect(() => library.allocate(bytes)).toThrow('a size in bytes is needed');
    expect(library.allocate(2 ** 50)).toBeNull();
    for (const threads of [0, -1, 257, NaN]) expect(() => library.setThreads(threads)).toThrow('from 1 to 256');
  });
});
