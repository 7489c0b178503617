/**
 * Rows beside the one case table, at sizes where the native kernels change their course: more than a vector, a panel, a
 * pass or a task, and never a whole number of them.
 */
import * as tf from '@tensorflow/tfjs-core';
import {
  causalAttention,
  connectionStep,
  embeddingLookup,
  linear,
  linearCrossEntropy,
  meanCrossEntropy,
  residualStep,
  rmsNorm,
  rotaryEmbedding,
  swiGlu,
} from '@vwn/core';
import {
  connectionOf,
  groupedCase,
  integerInput,
  normalInput,
  opCases,
  routeCase,
  type CaseInputs,
  type OpCase,
} from '@vwn/core/testing';

type Shapes = Readonly<Record<string, number[]>>;
type Run = (inputs: Record<string, tf.Tensor>) => tf.Tensor | tf.Tensor[];

function ragged(
  name: string,
  shapes: Shapes,
  run: Run,
  integers: Readonly<Record<string, [number[], number]>> = {},
): OpCase {
  return {
    name: `ragged ${name}`,
    op: name,
    kernels: [],
    size: 'small',
    differentiable: Object.keys(shapes),
    inputs: (rng) => ({
      ...Object.fromEntries(
        Object.entries(shapes).map(([key, shape]) => [key, normalInput(rng.fork(key), shape, 0.5)]),
      ),
      ...Object.fromEntries(
        Object.entries(integers).map(([key, [shape, limit]]) => [key, integerInput(rng.fork(key), shape, limit)]),
      ),
    }),
    run: (inputs: CaseInputs) => [run(inputs)].flat(),
  };
}

const pair = ({ a, b }: Record<string, tf.Tensor>) => [a, b] as [tf.Tensor, tf.Tensor];
const one = ({ x }: Record<string, tf.Tensor>) => x as tf.Tensor;

function linearCase(rows: number, width: number, out: number): OpCase {
  return ragged(`linear [${rows}, ${width}] to ${out}`, { a: [rows, width], b: [out, width] }, (inputs) =>
    linear(...pair(inputs)),
  );
}

function productCase(a: number[], b: number[], transposeA: boolean, transposeB: boolean): OpCase {
  const name = `matMul [${a.join(', ')}]${transposeA ? 'ᵀ' : ''} [${b.join(', ')}]${transposeB ? 'ᵀ' : ''}`;
  return ragged(name, { a, b }, (inputs) => tf.matMul(...pair(inputs), transposeA, transposeB));
}

function attentionCase(T: number, S: number, H: number, K: number, d: number): OpCase {
  const shapes = { q: [2, T, H, d], k: [2, S, K, d], v: [2, S, K, d] };
  return ragged(`causalAttention T=${T} S=${S} H=${H} K=${K} d=${d}`, shapes, ({ q, k, v }) =>
    causalAttention(q as tf.Tensor, k as tf.Tensor, v as tf.Tensor),
  );
}

function crossEntropyCases(N: number, D: number, V: number): OpCase[] {
  return [linearCrossEntropy, meanCrossEntropy].map((op) =>
    ragged(
      `${op.name} N=${N} D=${D} V=${V}`,
      { a: [N, D], b: [V, D] },
      (inputs) => op(...pair(inputs), inputs.targets as tf.Tensor, { ignoreIndex: 3 }),
      { targets: [[N], V] },
    ),
  );
}

function stepCase(m: number, n: number, db: number, tokens: number, normed = false): OpCase {
  const parameters = (prefix: string): Shapes => ({
    [`${prefix}staticAlpha`]: [n, m + n],
    [`${prefix}staticBeta`]: [n, m],
    [`${prefix}normWeight`]: [db],
    [`${prefix}alphaFn`]: [db, m + n],
    [`${prefix}betaFn`]: [db, m],
    [`${prefix}alphaScale`]: [n, m + n],
    [`${prefix}betaScale`]: [n, m],
  });
  const shapes: Shapes = {
    h: [tokens, n * db],
    out: [tokens, m * db],
    ...parameters('previous.'),
    ...parameters('next.'),
    ...(normed && { sublayerNorm: [m * db] }),
  };
  const run: Run = ({ h, out, ...rest }) => {
    const [previous, next] = [connectionOf(rest, 'previous.'), connectionOf(rest, 'next.')];
    const norm = rest.sublayerNorm && { weight: rest.sublayerNorm, eps: 1e-2 };
    const step = connectionStep(h as tf.Tensor, out as tf.Tensor, previous, next, { m, n, eps: 1e-3 }, norm);
    return [step.h, step.x];
  };
  const reading = Object.keys(shapes).filter((name) => !/^next.*beta/i.test(name));
  const name = `connectionStep${normed ? ' normed' : ''} m=${m} n=${n} db=${db} tokens=${tokens}`;
  return { ...ragged(name, shapes, run), differentiable: reading };
}

const stockCases: readonly OpCase[] = [
  ragged('sum of rows', { x: [3, 9001] }, (inputs) => tf.sum(one(inputs), 1)),
  ragged('mean of columns', { x: [5003, 37] }, (inputs) => tf.mean(one(inputs), 0)),
  ragged('sum between', { x: [7, 301, 5] }, (inputs) => tf.sum(one(inputs), 1, true)),
  ragged('broadcasts', { a: [5, 1, 33], b: [70, 33] }, (inputs) => {
    const [a, b] = pair(inputs);
    return [tf.add(a, b), tf.mul(b, a), tf.sub(a, 3), tf.div(a, tf.add(tf.square(b), 1))];
  }),
  ragged('functions', { x: [3, 6007] }, (inputs) => {
    const x = one(inputs);
    const positive = tf.add(tf.square(x), 0.5);
    return [tf.exp(x), tf.tanh(x), tf.sigmoid(x), tf.sqrt(positive), tf.rsqrt(positive), tf.neg(x)];
  }),
  ragged('layout', { a: [5, 7, 33], b: [5, 2, 33] }, (inputs) => {
    const [a, b] = pair(inputs);
    return [tf.concat([a, b], 1), tf.slice(a, [1, 2, 3], [3, 4, 29]), tf.transpose(a, [2, 0, 1])];
  }),
];

const expertCases = [
  groupedCase([37, 0, 130, 5], 523, [131], 'small'),
  groupedCase([801, 9, 67], 48, [70, 33], 'small'),
  groupedCase([3, 1, 0, 7, 2, 50, 1, 1, 4, 0, 6, 2], 33, [70], 'small'),
  routeCase(9001, 3, 2, 'small'),
  routeCase(301, 67, 5, 'small'),
].map((each): OpCase => ({ ...each, name: `ragged ${each.name}` }));

export const raggedCases: readonly OpCase[] = [
  linearCase(37, 523, 131),
  linearCase(29, 48, 70),
  linearCase(801, 32, 5),
  productCase([3, 301, 13], [3, 301, 81], true, false),
  productCase([2, 3, 37, 19], [19, 67], false, false),
  productCase([3, 5, 21], [3, 67, 21], false, true),
  attentionCase(41, 53, 4, 2, 19),
  attentionCase(77, 77, 3, 1, 33),
  ...crossEntropyCases(70, 33, 1037),
  ...crossEntropyCases(67, 2, 66001),
  stepCase(3, 5, 17, 211),
  stepCase(2, 3, 100, 57),
  stepCase(1, 2, 131, 18),
  stepCase(4, 16, 70, 9),
  stepCase(2, 67, 3, 5),
  stepCase(3, 5, 17, 211, true),
  stepCase(1, 2, 131, 18, true),
  stepCase(3, 16, 70, 9, true),
  stepCase(2, 67, 3, 5, true),
  // Of few slots, in whole vectors: of numbers and of pairs, or of numbers alone.
  stepCase(1, 2, 64, 18, true),
  stepCase(1, 4, 96, 121, true),
  stepCase(2, 3, 96, 57, true),
  stepCase(2, 3, 80, 19),
  stepCase(2, 4, 96, 9),
  stepCase(2, 4, 112, 11, true),
  ragged('rmsNorm [33, 1031]', { a: [33, 1031], b: [1031] }, (inputs) => rmsNorm(...pair(inputs), 1e-6)),
  ragged('residualStep [33, 1031]', { h: [33, 1031], out: [33, 1031], weight: [1031] }, ({ h, out, weight }) => {
    const step = residualStep(h as tf.Tensor, out as tf.Tensor, { weight: weight as tf.Tensor, eps: 1e-6 });
    return [step.h, step.x];
  }),
  ragged('rotaryEmbedding [2, 67, 3, 34]', { x: [2, 67, 3, 34] }, (inputs) =>
    rotaryEmbedding(one(inputs), { theta: 1e4, offset: 5 }),
  ),
  ragged('swiGlu [3, 20011]', { a: [3, 20011], b: [3, 20011] }, (inputs) => swiGlu(...pair(inputs))),
  ragged(
    'embeddingLookup [51, 130] at [9001]',
    { table: [51, 130] },
    ({ table, ids }) => embeddingLookup(table as tf.Tensor, ids as tf.Tensor),
    { ids: [[9001], 51] },
  ),
  ...stockCases,
  ...expertCases,
];

/** Every row that a native backend must agree on: the small ones of the one table, and the ragged. */
export const tableCases: readonly OpCase[] = [...opCases.filter(({ size }) => size === 'small'), ...raggedCases];
