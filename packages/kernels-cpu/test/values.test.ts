/** Stock tfjs operations on vwn-cpu at awkward sizes, against float64 arithmetic. */
import * as tf from '@tensorflow/tfjs-core';
import {
  adamWAll,
  embeddingLookup,
  globalNorm,
  groupedLinear,
  linear,
  linearCrossEntropy,
  meanCrossEntropy,
  Rng,
  rmsNorm,
  setPrecision,
  swiGlu,
} from '@vwn/core';
import { maxRelativeError } from '@vwn/core/testing';
import { expect, it } from 'vitest';
import { nativeCallsOf } from '../../kernels/test/support/native-calls';
import { describeNative, nativeBackend } from './support/native';

const normals = (name: string, size: number) => Rng.fromSeed(name).normals(size);

/** What float32 sums of a few hundred normal numbers are off by, relative to the largest; more where they cancel. */
const tolerance = 4e-6;

function product(a: Float32Array, b: Float32Array, [M, K, N]: readonly [number, number, number]): Float64Array {
  const c = new Float64Array(M * N);
  for (let i = 0; i < M; i++)
    for (let k = 0; k < K; k++)
      for (let j = 0; j < N; j++) (c[i * N + j] as number) += (a[i * K + k] as number) * (b[k * N + j] as number);
  return c;
}

/** Relative to √K at least, the size of a sum of K products of normal numbers: the one element of 1 × 1 may cancel to less. */
function errorOfSums(actual: ArrayLike<number>, expected: ArrayLike<number>, K: number): number {
  const usual = Math.sqrt(K);
  return maxRelativeError([...Array.from(actual), usual], [...Array.from(expected), usual]);
}

describeNative('a matrix product', () => {
  const sizes = [
    [1, 1, 1],
    [1, 257, 1],
    [1, 1, 257],
    [257, 1, 1],
    [257, 129, 65],
    [1031, 3, 7],
    [3, 1031, 7],
    [17, 4099, 2],
    [2, 5, 4099],
  ] as const;
  const flags = [
    [false, false],
    [true, false],
    [false, true],
    [true, true],
  ] as const;

  it.each(sizes)('of %d × %d by %d is that of float64, transposed or not', (M, K, N) => {
    const [a, b] = [normals('a', M * K), normals('b', K * N)];
    const expected = product(a, b, [M, K, N]);
    const [x, y] = [tf.tensor2d(a, [M, K]), tf.tensor2d(b, [K, N])];
    for (const [ta, tb] of flags) {
      const z = tf.matMul(ta ? tf.transpose(x) : x, tb ? tf.transpose(y) : y, ta, tb);
      expect(z.shape).toEqual([M, N]);
      expect(errorOfSums(z.dataSync(), expected, K)).toBeLessThan(tolerance);
    }
  });

  it('of many matrices is that of each, also where one side is repeated or batches are odd', () => {
    const [a, b] = [normals('a', 6 * 5 * 7), normals('b', 3 * 7 * 4)];
    const z = tf.matMul(tf.tensor4d(a, [2, 3, 5, 7]), tf.tensor3d(b, [3, 7, 4]));
    expect(z.shape).toEqual([2, 3, 5, 4]);
    for (let i = 0; i < 6; i++) {
      const [one, other] = [a.subarray(i * 35, (i + 1) * 35), b.subarray((i % 3) * 28, ((i % 3) + 1) * 28)];
      const actual = z.dataSync().slice(i * 20, (i + 1) * 20);
      expect(maxRelativeError(actual, product(one, other, [5, 7, 4]))).toBeLessThan(tolerance);
    }
  });
});

describeNative('a grouped product', () => {
  it('of more weights than are packed at once is that of each group alone', () => {
    const [counts, width, out] = [[3, 1, 0, 7], 1031, 1100];
    const weights = counts.map((_, e) => tf.randomNormal([out, width], 0, 1, 'float32', e));
    const x = tf.tensor2d(normals('x', 11 * width), [11, width]);
    const y = groupedLinear(x, weights, tf.tensor1d([0, 3, 4, 4, 11], 'int32')).dataSync();
    const apart = [0, 1, 3].map((e) => {
      const from = [0, 3, 4, 4][e] as number;
      return linear(tf.slice(x, [from, 0], [counts[e] as number, width]), weights[e] as tf.Tensor);
    });
    expect(maxRelativeError(y, tf.concat(apart).dataSync())).toBeLessThan(tolerance);
  });
});

/** How many numbers are others: vitest takes seconds over a million that are equal. */
function differences(x: tf.Tensor, expected: Float32Array): number {
  const values = x.dataSync();
  return values.length - expected.length + expected.filter((each, i) => !Object.is(each, values[i])).length;
}

describeNative('a million and three elements', () => {
  const size = 1_000_003;
  const [a, b] = [normals('a', size), normals('b', size)];
  const rounded = (f: (x: number, y: number) => number) => a.map((x, i) => f(x, b[i] as number));

  it.each([
    ['add', tf.add, (x: number, y: number) => x + y],
    ['sub', tf.sub, (x: number, y: number) => x - y],
    ['mul', tf.mul, (x: number, y: number) => x * y],
    ['div', tf.div, (x: number, y: number) => x / y],
  ] as const)('are each the correctly rounded result: %s', (_, operation, f) => {
    expect(differences(operation(tf.tensor1d(a), tf.tensor1d(b)), rounded(f))).toBe(0);
  });

  it('have the sum and mean of float64, along any axis', () => {
    const total = a.reduce((sum, each) => sum + each, 0);
    const scale = Math.sqrt(size);
    expect(Math.abs((tf.sum(tf.tensor1d(a)).dataSync()[0] as number) - total) / scale).toBeLessThan(tolerance);
    expect(Math.abs((tf.mean(tf.tensor1d(a)).dataSync()[0] as number) * size - total) / scale).toBeLessThan(1e-5);
    const wide = tf.tensor2d(a.subarray(0, 999 * 1001), [999, 1001]);
    const columns = new Float64Array(1001);
    for (let i = 0; i < 999 * 1001; i++) (columns[i % 1001] as number) += a[i] as number;
    expect(maxRelativeError(tf.sum(wide, 0).dataSync(), columns)).toBeLessThan(tolerance);
  });

  it('are moved unchanged by slice, transpose and concat', () => {
    const x = tf.tensor1d(a);
    expect(differences(tf.slice(x, [17], [size - 19]), a.subarray(17, size - 2))).toBe(0);
    const back = tf.transpose(tf.transpose(tf.reshape(tf.slice(x, [0], [999 * 1001]), [999, 1001])));
    expect(differences(back, a.subarray(0, 999 * 1001))).toBe(0);
    expect(differences(tf.concat([tf.slice(x, [0], [3]), tf.slice(x, [3])]), a)).toBe(0);
  });
});

describeNative('tensors without elements', () => {
  const empty = (...shape: number[]) => tf.tensor(new Float32Array(0), shape);
  const cases: readonly (readonly [string, () => tf.Tensor, number[], number[]])[] = [
    ['add', () => tf.add(empty(0, 3), tf.ones([3])), [0, 3], []],
    ['exp', () => tf.exp(empty(2, 0)), [2, 0], []],
    ['sum of nothing', () => tf.sum(empty(0, 3), 0), [3], [0, 0, 0]],
    ['sum of rows of nothing', () => tf.sum(empty(2, 0), 1), [2], [0, 0]],
    ['mean of nothing', () => tf.mean(empty(0)), [], [NaN]],
    [
      'matMul over nothing',
      () => tf.matMul(empty(2, 0) as tf.Tensor2D, empty(0, 2) as tf.Tensor2D),
      [2, 2],
      [0, 0, 0, 0],
    ],
    ['matMul of no rows', () => tf.matMul(empty(0, 4) as tf.Tensor2D, tf.ones([4, 2])), [0, 2], []],
    ['concat', () => tf.concat([empty(0, 2), tf.ones([1, 2])]), [1, 2], [1, 1]],
    ['slice', () => tf.slice(tf.ones([3, 2]), [1, 0], [0, 2]), [0, 2], []],
    ['transpose', () => tf.transpose(empty(0, 3)), [3, 0], []],
    ['linear', () => linear(empty(0, 4), tf.ones([2, 4])), [0, 2], []],
    ['rmsNorm', () => rmsNorm(empty(0, 4), tf.ones([4]), 1e-6), [0, 4], []],
    ['swiGlu', () => swiGlu(empty(0), empty(0)), [0], []],
    ['linearCrossEntropy', () => linearCrossEntropy(empty(0, 3), tf.ones([2, 3]), tf.tensor1d([], 'int32')), [0], []],
  ];

  it.each(cases)('go through: %s', (_, run, shape, values) => {
    const y = run();
    expect(y.shape).toEqual(shape);
    expect([...y.dataSync()]).toEqual(values);
  });
});

describeNative('a cast from integers or bools', () => {
  const integers = () => tf.tensor2d([1, 2, 3, 4], [2, 2], 'int32');
  const floats = [1, 2, 3, 4];

  it.each([
    ['matMul', (x: tf.Tensor) => tf.matMul(x, x), [7, 10, 15, 22]],
    ['add', (x: tf.Tensor) => tf.add(x, 0.5), [1.5, 2.5, 3.5, 4.5]],
    ['sqrt of squares', (x: tf.Tensor) => tf.sqrt(tf.square(x)), floats],
    ['sum', (x: tf.Tensor) => tf.sum(x, 0), [4, 6]],
    ['transpose', (x: tf.Tensor) => tf.transpose(x), [1, 3, 2, 4]],
    ['slice', (x: tf.Tensor) => tf.slice(x, [1, 0], [1, 2]), [3, 4]],
    ['concat', (x: tf.Tensor) => tf.concat([x, tf.zeros([1, 2])]), [...floats, 0, 0]],
    ['linear', (x: tf.Tensor) => linear(x, x), [5, 11, 11, 25]],
    ['swiGlu', (x: tf.Tensor) => swiGlu(tf.zeros([2, 2]), x), [0, 0, 0, 0]],
  ] as const)('shares their data, and native kernels take it as numbers: %s', (_, run, expected) => {
    const x = integers();
    const y = run(tf.cast(x, 'float32'));
    expect(y.dtype).toBe('float32');
    expect([...y.dataSync()]).toEqual(expected);
    expect([...x.dataSync()]).toEqual(floats);
  });

  it('takes no memory of its own for longer than a call', () => {
    const x = tf.cast(integers(), 'float32');
    tf.dispose(tf.sum(x));
    const before = nativeBackend().memory().numBytesInDevice;
    tf.dispose(tf.sum(x));
    expect(nativeBackend().memory().numBytesInDevice).toBe(before);
  });

  it('counts what is true', () => {
    const mask = tf.cast(tf.greater(tf.tensor1d([1, -1, 2]), 0), 'float32');
    expect([...tf.mul(mask, tf.tensor1d([5, 6, 7])).dataSync()]).toEqual([5, 0, 7]);
    expect(tf.sum(mask).dataSync()[0]).toBe(2);
  });
});

describeNative('a cast from bools to integers', () => {
  const flags = () => tf.cast(tf.tensor1d([1, 0, 1], 'bool'), 'int32');
  const rest = () => tf.tensor1d([2 ** 24 + 1, -(2 ** 31)], 'int32');

  it.each([
    ['concat', () => tf.concat([flags(), rest()]), [1, 0, 1, 2 ** 24 + 1, -(2 ** 31)]],
    ['slice', () => tf.slice(flags(), 1), [0, 1]],
    ['transpose', () => tf.transpose(tf.reshape(flags(), [1, 3])), [1, 0, 1]],
  ])('is integers to native kernels: %s', (_, run, expected) => {
    const values = run().dataSync();
    expect(values).toBeInstanceOf(Int32Array);
    expect([...values]).toEqual(expected);
  });

  it('names rows and targets', () => {
    const table = tf.tensor2d([5, 6], [2, 1]);
    expect([...embeddingLookup(table, flags()).dataSync()]).toEqual([6, 5, 6]);
    const losses = linearCrossEntropy(tf.tensor2d([0, 0, 0], [3, 1]), table, flags());
    expect(maxRelativeError(losses.dataSync(), [Math.LN2, Math.LN2, Math.LN2])).toBeLessThan(tolerance);
  });
});

describeNative('more tensors than one call of the library takes', () => {
  it('are updated all by adamWAll', () => {
    const variables = () => Array.from({ length: 8200 }, () => tf.variable(tf.zeros([1])));
    const [params, ms, vs] = [variables(), variables(), variables()] as [tf.Variable[], tf.Variable[], tf.Variable[]];
    const grad = tf.ones([1]);
    const all = params.map((param, i) => ({ param, m: ms[i], v: vs[i], grad, weightDecay: 0, step: 1 + (i % 2) }));
    adamWAll(all as never, { lr: 0.5, beta1: 0.9, beta2: 0.9, eps: 0 });
    const values = params.map((param) => param.dataSync()[0] as number);
    const [first, second] = values as [number, number];
    expect(first).toBeCloseTo(-0.5, 5);
    expect(second).not.toBe(first);
    expect(values).toEqual(values.map((_, i) => (i % 2 === 0 ? first : second)));
    tf.dispose([params, ms, vs]);
  });

  it('have a global norm', () => {
    const before = tf.memory().numTensors;
    const tensors = Array.from({ length: 40_000 }, () => tf.ones([1]));
    expect(globalNorm(tensors).dataSync()[0]).toBeCloseTo(200, 3);
    tf.dispose(tensors);
    expect(tf.memory().numTensors).toBe(before + 1);
  });
});

describeNative('a variable that began as', () => {
  const options = { lr: 0.5, beta1: 0.9, beta2: 0.99, eps: 0 };
  const cast = (dtype: 'int32' | 'bool') => tf.tidy(() => tf.cast(tf.tensor1d([1, 0], dtype), 'float32'));
  const halves = () => {
    setPrecision('bf16');
    const values = tf.tidy(() => linear(tf.tensor2d([1, 0], [2, 1]), tf.ones([1, 1])));
    setPrecision('fp32');
    return values;
  };

  it.each([
    ['a cast from integers', () => cast('int32')],
    ['a cast from bools', () => cast('bool')],
    ['an activation in bf16', halves],
  ])('%s is updated in place', (_, start) => {
    const initial = start();
    const param = tf.variable(initial);
    initial.dispose();
    const [m, v] = [0, 1].map(() => tf.variable(tf.zeros(param.shape))) as [tf.Variable, tf.Variable];
    adamWAll([{ param, grad: tf.ones(param.shape), m, v, weightDecay: 0, step: 1 }], options);
    expect(maxRelativeError(param.dataSync(), [0.5, -0.5])).toBeLessThan(tolerance);
  });
});

describeNative('the gradients that meanCrossEntropy has in hand', () => {
  const gradientsTimes = (factor: number) =>
    tf.grads((hidden, weight) => {
      const targets = tf.tensor1d([0, 2, 1], 'int32');
      const loss = meanCrossEntropy(hidden as tf.Tensor, weight as tf.Tensor, targets);
      return factor === 1 ? loss : tf.mul(loss, factor);
    });

  it('are multiplied by what comes from behind, but for the 1 that tfjs begins with', () => {
    const inputs = [tf.tensor(normals('hidden', 12), [3, 4]), tf.tensor(normals('weight', 20), [5, 4])];
    const [once, twice] = [gradientsTimes(1)(inputs), gradientsTimes(2)(inputs)];
    once.forEach((each, i) =>
      expect(maxRelativeError(twice[i]?.dataSync() ?? [], tf.mul(each, 2).dataSync())).toBeLessThan(1e-6),
    );
    const bytes = nativeBackend().memory().numBytesInDevice;
    const calls = nativeCallsOf(nativeBackend(), () => tf.dispose(gradientsTimes(1)(inputs)));
    expect(calls).toEqual(['mean_cross_entropy']);
    expect(nativeBackend().memory().numBytesInDevice).toBe(bytes);
  });
});
