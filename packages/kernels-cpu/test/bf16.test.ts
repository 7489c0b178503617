/** Activations in bf16 against the same kernels in float32. */
import * as tf from '@tensorflow/tfjs-core';
import { BackendError, linear, Rng, setPrecision } from '@vwn/core';
import { caseGradients, maxRelativeError, normalInput, opCases, upstreamOf, type CaseInputs } from '@vwn/core/testing';
import { StorageType } from '@vwn/kernels';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { CaseTableReport } from './support/case-table';
import { reportOf } from './support/child';
import { describeNative, nativeBackend, testedInstructionSets } from './support/native';
import { tableCases } from './support/ragged-cases';

/**
 * bf16 has 8 bits: a number rounded once is off by up to 2⁻⁹ of itself, 0.2 %. An output is rounded once and made of
 * operands that were; a gradient is made of both, and of a gradient that was. Sums are float32, so errors do not grow
 * with sizes. Relative to the largest value of a tensor.
 */
const tolerance = { forward: 1e-2, gradient: 2e-2 };

const instructionSets = await testedInstructionSets();

describe.each(instructionSets)('bf16 on %s', (isa) => {
  let report: CaseTableReport;
  beforeAll(async () => {
    report = await reportOf<CaseTableReport>('case-table.ts', { args: ['bf16'], env: { VWN_CPU_ISA: isa } });
  });

  it('was evaluated on every row, and is not float32', () => {
    expect(report.instructionSet).toBe(isa);
    expect(report.rows.map(({ name }) => name)).toEqual(tableCases.map(({ name }) => name));
    const rounded = report.rows.filter(({ name }) =>
      /^(ragged )?(linear|rmsNorm|swiGlu|connectionStep) .*\d{2}/.test(name),
    );
    expect(rounded.length).toBeGreaterThan(10);
    for (const { name, forward } of rounded) expect(forward, name).toBeGreaterThan(2 ** -11);
  });

  it.each(tableCases.map(({ name }, i) => [name, i] as const))('stays close to float32: %s', (name, i) => {
    const { forward, gradients } = report.rows[i] as CaseTableReport['rows'][number];
    expect(forward, 'outputs').toBeLessThan(tolerance.forward);
    expect(Object.keys(gradients)).toEqual(tableCases[i]?.differentiable);
    for (const [input, error] of Object.entries(gradients))
      expect(error, `gradient of ${input}`).toBeLessThan(tolerance.gradient);
  });
});

describeNative('precision bf16', () => {
  afterEach(() => setPrecision('fp32'));

  const bytesOf = (make: () => tf.Tensor) => {
    const before = nativeBackend().memory().numBytesInDevice;
    const tensor = tf.tidy(make);
    const bytes = nativeBackend().memory().numBytesInDevice - before;
    tensor.dispose();
    return bytes;
  };
  const rng = Rng.fromSeed('bf16');
  const operands = () => [normalInput(rng.fork('x'), [6, 5]), normalInput(rng.fork('w'), [7, 5])] as const;

  it('stores an activation in two bytes an element, and reads it back as float32', () => {
    const product = () => linear(...operands());
    expect(bytesOf(product)).toBe(6 * 7 * 4);
    setPrecision('bf16');
    expect(bytesOf(product)).toBe(6 * 7 * 2);
    const y = tf.tidy(product);
    expect(y.dtype).toBe('float32');
    const bits = new Uint32Array((y.dataSync() as Float32Array).buffer);
    expect([...bits].filter((each) => each & 0xffff)).toEqual([]);
    y.dispose();
  });

  it('gives the gradient of a parameter in float32', () => {
    setPrecision('bf16');
    const bytes = bytesOf(() => {
      const [x, w] = operands();
      return tf.grad((each) => tf.sum(linear(x, each)))(w);
    });
    expect(bytes).toBe(7 * 5 * 4);
  });

  it('is refused under another name, and the one before stays', () => {
    expect(() => setPrecision('fp8' as never)).toThrow(BackendError);
    expect(nativeBackend().precision).toBe('fp32');
  });

  it('rounds to nearest, ties to even, and keeps NaN, infinities and signed zero', () => {
    const values = [1 + 2 ** -8, 1 + 3 * 2 ** -8, 1 + 2 ** -8 + 2 ** -20, 3.4e38, Infinity, -Infinity, NaN, -0, 1e-45];
    const expected = [1, 1 + 2 ** -6, 1 + 2 ** -7, Infinity, Infinity, -Infinity, NaN, -0, 0];
    const halves = nativeBackend().output([values.length], StorageType.bf16);
    nativeBackend().call('convert', [tf.tensor1d(values), halves], [values.length]);
    expect([...(nativeBackend().readSync(halves.dataId) as Float32Array)]).toEqual(expected);
  });

  it('rounds the operands of a product alike, or not at all, for few rows and for many', () => {
    // 255 terms of just below 1 + 2⁻⁸: 256 as they are, 255 when each is rounded to 1 first.
    setPrecision('bf16');
    const weight = tf.fill([3, 255], 1 + 0.9 * 2 ** -8);
    const sums = [1, 4, 9].flatMap((rows) => [...linear(tf.ones([rows, 255]), weight).dataSync()]);
    expect([255, 256]).toContain(sums[0]);
    expect(new Set(sums).size).toBe(1);
  });

  /** The same numbers in bf16, whatever made them. */
  const stored = (x: tf.Tensor) => {
    const info = nativeBackend().output(x.shape, StorageType.bf16);
    nativeBackend().call('convert', [x, info], [x.size]);
    return tf.engine().makeTensorFromTensorInfo(info);
  };
  const small = opCases.filter(({ size, name }) => size === 'small' && !name.includes('lead=0'));

  it.each(small.map((each) => [each.name, each] as const))(
    'lets every operand be a tensor that another operation stored in bf16: %s',
    (_, opCase) => {
      setPrecision('bf16');
      const inputs = opCase.inputs(Rng.fromSeed('stored'));
      const halves = mapFloats(inputs, stored);
      const rounded = mapFloats(halves, (x) => tf.tensor(x.dataSync(), x.shape));
      const [actual, expected] = [halves, rounded].map((each) => {
        const outputs = opCase.run(each);
        const gradients = caseGradients(opCase, each, upstreamOf(outputs, Rng.fromSeed('upstream')));
        return [...outputs, ...Object.values(gradients)].map((x) => x.dataSync());
      }) as [tf.TypedArray[], tf.TypedArray[]];
      actual.forEach((values, i) =>
        expect(maxRelativeError(values, expected[i] as tf.TypedArray)).toBeLessThan(tolerance.gradient),
      );
    },
  );
});

const mapFloats = (inputs: CaseInputs, f: (x: tf.Tensor) => tf.Tensor): CaseInputs =>
  Object.fromEntries(Object.entries(inputs).map(([name, x]) => [name, x.dtype === 'float32' ? f(x) : x]));
