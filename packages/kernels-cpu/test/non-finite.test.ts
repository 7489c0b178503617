/** NaN and infinities go where they go in tfjs's own CPU backend: a run that has diverged must not look healthy. */
import * as tf from '@tensorflow/tfjs-core';
import { connectionRead, linearCrossEntropy, Rng, setPrecision } from '@vwn/core';
import { caseGradients, connectionOf, upstreamOf, type CaseInputs, type OpCase } from '@vwn/core/testing';
import { afterEach, expect, it } from 'vitest';
import { useTestBackend } from '../../core/test/support/backends';
import { describeNative } from './support/native';
import { raggedCases, tableCases } from './support/ragged-cases';

const kindOf = (value: number) => (Number.isFinite(value) ? 'finite' : String(value));

/** The same function on both backends, from the same numbers. */
async function onBoth<T>(run: () => T): Promise<{ stock: T; native: T }> {
  await useTestBackend('cpu');
  const stock = tf.tidy(run as () => tf.TensorContainer) as T;
  await useTestBackend('vwn-cpu');
  return { stock, native: tf.tidy(run as () => tf.TensorContainer) as T };
}

const specials = [NaN, Infinity, -Infinity, 0, -0, 1, -2.5, 3e38, -3e38, 87, 89, -87, -105, 1e-30];

describeNative('elementwise arithmetic', () => {
  const all = specials.flatMap((a) => specials.map((b) => [a, b] as const));
  const operands = () => [tf.tensor1d(all.map(([a]) => a)), tf.tensor1d(all.map(([, b]) => b))] as const;

  it.each([
    ['add', tf.add],
    ['sub', tf.sub],
    ['mul', tf.mul],
    ['div', tf.div],
  ] as const)('of special numbers is IEEE 754, bit for bit: %s', async (_, operation) => {
    const { stock, native } = await onBoth(() => [...operation(...operands()).dataSync()]);
    expect(native).toEqual(stock);
  });

  it.each([
    ['square', tf.square],
    ['sqrt', tf.sqrt],
    ['rsqrt', tf.rsqrt],
    ['exp', tf.exp],
    ['neg', tf.neg],
    ['sigmoid', tf.sigmoid],
    ['tanh', tf.tanh],
  ] as const)('of special numbers is as in the stock backend: %s', async (_, operation) => {
    const { stock, native } = await onBoth(() => [...operation(tf.tensor1d(specials)).dataSync()]);
    expect(native.map(kindOf)).toEqual(stock.map(kindOf));
    native.forEach((value, i) => {
      const expected = stock[i] as number;
      // Below 2⁻¹²⁶ results are 0.
      if (Number.isFinite(value))
        expect(Math.abs(value - expected)).toBeLessThan(Math.abs(expected) * 1e-6 + 2 ** -126);
    });
  });
});

describeNative('tanh', () => {
  it('is exactly ±1 from where float32 has no number between, never beyond, and NaN of NaN', () => {
    const far = [9.02, 12.5, 20, 88.5, 3e38, Infinity];
    // More than a vector, so that whole vectors and what is left over are there.
    const inputs = Array.from({ length: 5 }, () => far).flat();
    expect([...tf.tanh(inputs).dataSync()]).toEqual(inputs.map(() => 1));
    expect([...tf.tanh(inputs.map((x) => -x)).dataSync()]).toEqual(inputs.map(() => -1));
    expect([...tf.tanh(new Array<number>(37).fill(NaN)).dataSync()]).toEqual(new Array(37).fill(NaN));
  });

  it('is within five units in the last place where it comes near 1', () => {
    const inputs = tf.linspace(4, 10, 6001);
    const values = tf.tanh(inputs).dataSync();
    inputs.dataSync().forEach((x, i) => {
      expect(Math.abs((values[i] as number) - Math.tanh(x))).toBeLessThan(5 * 2 ** -24);
      expect(values[i]).toBeLessThanOrEqual(1);
    });
  });
});

/** Rows of a matrix product and of sums, one with each special number among ordinary ones. */
const withSpecial = (rows: number, width: number) =>
  tf.tidy(() => {
    const values = Rng.fromSeed('special').normals(rows * width);
    specials.forEach((each, i) => (values[i * width + ((7 * i) % width)] = each));
    return tf.tensor2d(values, [rows, width]);
  });

describeNative('sums', () => {
  it.each([
    ['matMul', (x: tf.Tensor2D) => tf.matMul(x, tf.ones([37, 19]))],
    ['matMul from the right', (x: tf.Tensor2D) => tf.matMul(tf.ones([5, 20]), x)],
    ['matMul with zeros', (x: tf.Tensor2D) => tf.matMul(x, tf.zeros([37, 3]))],
    ['sum of rows', (x: tf.Tensor2D) => tf.sum(x, 1)],
    ['sum of columns', (x: tf.Tensor2D) => tf.sum(x, 0)],
    ['mean', (x: tf.Tensor2D) => tf.mean(x)],
  ])('have the NaN and infinities of the stock backend: %s', async (_, run) => {
    const { stock, native } = await onBoth(() => [...run(withSpecial(20, 37)).dataSync()]);
    expect(stock.some((each) => !Number.isFinite(each))).toBe(true);
    expect(native.map(kindOf)).toEqual(stock.map(kindOf));
  });
});

/** The carry of a write is in the last columns of alpha, the read in the first. */
const isCarry = (op: string, input: string) =>
  /alpha/i.test(input) && (op === 'connectionWrite' || /^prev/.test(input));

/** Which outputs and gradients of a case are finite when one element of an input is not. */
function finiteness(opCase: OpCase, input: string, value: number): Record<string, boolean[]> {
  const rng = Rng.fromSeed(opCase.name);
  const inputs: CaseInputs = opCase.inputs(rng.fork('inputs'));
  const x = inputs[input] as tf.Tensor;
  const values = x.dataSync().slice();
  values[isCarry(opCase.op, input) ? values.length - 1 : 0] = value;
  inputs[input] = tf.tensor(values, x.shape, 'float32');
  const outputs = opCase.run(inputs);
  const gradients = caseGradients(opCase, inputs, upstreamOf(outputs, rng.fork('upstream')));
  const results = { ...Object.fromEntries(outputs.map((each, i) => [`output ${i}`, each])), ...gradients };
  return Object.fromEntries(
    Object.entries(results).map(([name, each]) => [name, [...each.dataSync()].map(Number.isFinite)]),
  );
}

/** One small row of the table for every kernel, without those of a single element. */
const perKernel = new Map(
  tableCases
    .filter((each) => !raggedCases.includes(each) && !/ lead=0$|=1 /.test(each.name))
    .map((each) => [each.kernels.join(), each]),
);

describeNative('every operation', () => {
  const rows = [...perKernel.values()].flatMap((opCase) =>
    opCase.differentiable.flatMap((input) =>
      [NaN, Infinity]
        // An infinite logit makes NaN of all gradients of its row here, and there only of those that it takes part in.
        .filter((value) => value !== Infinity || input !== 'weight' || !opCase.op.endsWith('CrossEntropy'))
        .map((value) => [opCase.name, input, value, opCase] as const),
    ),
  );

  it.each(rows)(
    '%s, %s %d: is finite where the stock backend is, and nowhere else',
    async (_, input, value, opCase) => {
      const { stock, native } = await onBoth(() => finiteness(opCase, input, value));
      expect(Object.values(stock).flat()).toContain(false);
      expect(native).toEqual(stock);
    },
  );
});

describeNative('linearCrossEntropy', () => {
  const targets = () => tf.tensor1d([2, -100, 0, 1], 'int32');
  const losses = (hidden: tf.Tensor, weight: tf.Tensor) => [
    ...linearCrossEntropy(hidden, weight, targets()).dataSync(),
  ];
  const hidden = (value: number) => tf.tensor2d([1, 2, 3, 4, value, 6, 7, 8], [4, 2]);
  const weight = (value: number) => tf.tensor2d([1, 2, 3, value, 5, 6], [3, 2]);

  it.each([NaN, Infinity, -Infinity])('of a weight of %d has no finite loss but those of ignored rows', (value) => {
    expect(losses(hidden(5), weight(value)).map(Number.isFinite)).toEqual([false, true, false, false]);
  });

  it('of a hidden state of NaN has NaN in its own row alone', () => {
    expect(losses(hidden(NaN), weight(4)).map(Number.isNaN)).toEqual([false, false, true, false]);
  });
});

describeNative('a slot that is NaN, of a state in bf16', () => {
  afterEach(() => setPrecision('fp32'));

  it.each([
    [1, 2, 64],
    [1, 4, 96],
    [2, 3, 96],
    [2, 4, 96],
  ])('makes NaN of no gradient but its own where (%i,%i) of %i columns is read', (m, n, db) => {
    const row = raggedCases.find(({ name }) => name.includes(` m=${m} n=${n} db=${db} `)) as OpCase;
    const inputs = row.inputs(Rng.fromSeed('NaN in a slot'));
    const h = inputs.h as tf.Tensor;
    const values = h.dataSync().slice();
    values[n * db + 5] = NaN; // of slot 0 of token 1
    setPrecision('bf16');
    const read = (x: tf.Tensor) => tf.sum(connectionRead(x, connectionOf(inputs, 'next.'), { m, n, eps: 1e-5 }));
    const gradient = tf.grad(read)(tf.tensor(values, h.shape)).dataSync();
    const slotsOfNaN = new Set(
      [...gradient.keys()].filter((i) => Number.isNaN(gradient[i])).map((i) => Math.floor(i / db)),
    );
    expect([...slotsOfNaN]).toEqual([n]);
  });
});
