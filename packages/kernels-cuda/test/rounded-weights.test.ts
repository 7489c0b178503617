/** Copies of weights in bf16 that vwn-cuda keeps beside them: what products read is always what the weight is now. */
import * as tf from '@tensorflow/tfjs-core';
import { adamWAll, adamWByFactors, adamWFactors, captureKernels, linear, linears, setPrecision } from '@vwn/core';
import type { NativeBackend } from '@vwn/kernels';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { useTestBackend } from '../../core/test/support/backends';
import { nativeCallsOf } from '../../kernels/test/support/native-calls';

const backend = () => tf.engine().backend as unknown as NativeBackend;
const some = (shape: number[], seed: number) => tf.randomNormal(shape, 0, 1, 'float32', seed);

const copyOf = ({ dataId }: tf.Tensor) => backend().dataOf(dataId).rounded;

const callsOf = (work: () => void) => nativeCallsOf(backend(), work);

interface Trained {
  readonly weight: tf.Variable;
  readonly x: tf.Tensor;
  /** One update of the weight, by the gradient of Σ (x Wᵀ)². */
  step(): void;
}

/** A variable that shares its memory with no tensor. */
const variableOf = (make: () => tf.Tensor) => tf.tidy(() => tf.variable(make()));
const zeros = () => variableOf(() => tf.zeros([5, 7]));

function trained(): Trained {
  const [weight, x] = [variableOf(() => some([5, 7], 1)), some([3, 7], 2)];
  const [m, v] = [zeros(), zeros()];
  const options = { lr: 0.1, beta1: 0.9, beta2: 0.99, eps: 1e-8 };
  return {
    weight,
    x,
    step: () =>
      tf.tidy(() => {
        const { grads } = tf.variableGrads(() => tf.sum(tf.square(linear(x, weight))), [weight]);
        adamWAll([{ param: weight, grad: grads[weight.name] as tf.Tensor, m, v, weightDecay: 0.1, step: 1 }], options);
      }),
  };
}

/** The product with the weight, and with a tensor of the same values, which has no copy. */
function expectCurrent({ weight, x }: Pick<Trained, 'weight' | 'x'>): void {
  const [kept, anew] = tf.tidy(() => [linear(x, weight), linear(x, tf.add(weight, 0))].map((y) => y.dataSync()));
  expect(kept).toEqual(anew);
}

beforeAll(() => useTestBackend('vwn-cuda'));
afterEach(() => setPrecision('fp32'));

describe('the rounded copy of a weight', () => {
  it('is made once, and not again by another product, a gradient or an update', () => {
    setPrecision('bf16');
    const of = trained();
    const conversions = () => callsOf(() => of.step()).filter((name) => name === 'convert').length;
    const [first, before] = [conversions(), of.weight.dataSync()];
    expect(conversions()).toBe(first - 1);
    expect(callsOf(() => tf.dispose(linears(of.x, [of.weight, of.weight])))).toEqual(['linears']);
    expect(of.weight.dataSync()).not.toEqual(before);
    expectCurrent(of);
  });

  it('is the weight rounded after updates in any precision, and after other values', () => {
    const of = trained();
    for (const precision of ['bf16', 'fp32', 'bf16', 'bf16'] as const) {
      setPrecision(precision);
      of.step();
      expectCurrent(of);
    }
    of.weight.assign(some([5, 7], 3));
    expectCurrent(of);
    of.step();
    expectCurrent(of);
  });

  it('is gone with the weight, and takes as much room after ten steps as after one', () => {
    setPrecision('bf16');
    const bytes = () => backend().memory().numBytesInDevice;
    const before = bytes();
    const of = trained();
    of.step();
    const after = bytes();
    for (let i = 0; i < 9; i++) of.step();
    expect(bytes()).toBe(after);
    const all = Object.values(tf.engine().registeredVariables).filter((each) => each.shape.join() === '5,7');
    tf.dispose([of.x, ...all]);
    expect(bytes()).toBeLessThanOrEqual(before);
  });

  it('is of variables only: other tensors are rounded when they are multiplied', () => {
    setPrecision('bf16');
    const [x, weight] = [some([3, 7], 1), some([5, 7], 2)];
    const before = backend().memory().numBytesInDevice;
    tf.dispose(linear(x, weight));
    tf.dispose(linear(x, weight));
    // The tensors themselves have come to the device.
    expect(backend().memory().numBytesInDevice - before).toBeLessThanOrEqual(4 * (21 + 35));
    expect(copyOf(weight)).toBeUndefined();
  });

  it('is not left behind where it cannot be made', () => {
    setPrecision('bf16');
    const { weight, x } = trained();
    tf.dispose(linear(x, tf.add(weight, 0))); // all but the copy is there
    const native = backend();
    const { call } = native;
    const before = native.memory().numBytesInDevice;
    native.call = () => {
      throw new Error('no such luck');
    };
    expect(() => linear(x, weight)).toThrow('no such luck');
    native.call = call;
    expect(native.memory().numBytesInDevice).toBe(before);
    expectCurrent({ weight, x });
  });

  it('goes with the first update in fp32, where nobody reads it', () => {
    setPrecision('bf16');
    const of = trained();
    of.step();
    expect(copyOf(of.weight)).toBeDefined();
    setPrecision('fp32');
    of.step();
    setPrecision('bf16');
    expect(copyOf(of.weight)).toBeUndefined();
  });

  it('is not made in fp32', () => {
    const of = trained();
    of.step();
    expect(copyOf(of.weight)).toBeUndefined();
  });
});

describe('captures and the rounded copy', () => {
  const betas = { beta1: 0.9, beta2: 0.99, eps: 1e-8 };

  /** A weight, and a captured `body`, which gets an update by AdamW with `grad` to make. */
  function captured<R extends tf.Tensor | undefined>(
    body: (of: Pick<Trained, 'weight' | 'x'>, update: (grad: tf.Tensor) => void) => R,
  ) {
    const [weight, x, m, v] = [variableOf(() => some([5, 7], 1)), some([3, 7], 2), zeros(), zeros()];
    const factors = tf.tensor2d([adamWFactors({ lr: 0.1, ...betas, weightDecay: 0, step: 1 })]);
    const gradScale = tf.scalar(1);
    const update = (grad: tf.Tensor) =>
      adamWByFactors([{ param: weight, grad, m, v, row: 0 }], { ...betas, factors, gradScale });
    const run = () =>
      captureKernels({ feeds: [factors], state: [x, gradScale], written: [weight, m, v] }, () =>
        tf.tidy(() => body({ weight, x }, update)),
      );
    const replay = (capture: ReturnType<typeof run>['capture']) => capture?.replay([factors.dataSync()]);
    return { weight, x, run, replay };
  }
  const gradientOf = ({ weight, x }: Pick<Trained, 'weight' | 'x'>) =>
    tf.variableGrads(() => tf.sum(tf.square(linear(x, weight))), [weight]).grads[weight.name] as tf.Tensor;

  it.each(['is there before', 'is made meanwhile'])('follows replays of a step, where it %s', (when) => {
    setPrecision('bf16');
    const of = captured((given, update) => void update(gradientOf(given)));
    if (when === 'is there before') expectCurrent(of);
    const { capture, reason } = of.run();
    expect(reason).toBeUndefined();
    for (let i = 0; i < 3; i++) {
      expect(of.replay(capture)).toBe(true);
      expectCurrent(of);
    }
    capture?.dispose();
  });

  it('are captured anew where it has come later: behind a step in fp32, or behind an update alone', () => {
    const ofStep = captured((given, update) => void update(gradientOf(given)));
    const step = ofStep.run().capture;
    expect(ofStep.replay(step)).toBe(true);
    setPrecision('bf16');
    const grad = some([5, 7], 3);
    const ofUpdate = captured((_, update) => void update(grad));
    const { capture } = ofUpdate.run();
    for (const of of [ofStep, ofUpdate]) expectCurrent(of);
    expect(ofUpdate.replay(capture)).toBe(false);
    setPrecision('fp32');
    expect(ofStep.replay(step)).toBe(false);
    expect(ofStep.replay(ofStep.run().capture)).toBe(true);
    setPrecision('bf16');
    expectCurrent(ofStep);
  });

  it('are refused once where a weight is first multiplied behind its update', () => {
    setPrecision('bf16');
    const grad = some([5, 7], 3);
    const of = captured(({ weight, x }, update) => {
      update(grad);
      return tf.keep(linear(x, weight));
    });
    expect(of.run().reason).toBe('a parameter was first multiplied after it was written');
    const { capture, result } = of.run();
    for (let i = 0; i < 3; i++) expect(of.replay(capture)).toBe(true);
    const anew = tf.tidy(() => linear(of.x, tf.add(of.weight, 0)).dataSync());
    expect(result?.dataSync()).toEqual(anew);
  });

  it.each(['with a copy', 'without one'])('multiply by what a weight is fed, %s', (having) => {
    setPrecision('bf16');
    const { weight, x } = trained();
    if (having === 'with a copy') tf.dispose(linear(x, weight));
    const { capture, result } = captureKernels({ feeds: [weight], state: [x] }, () => tf.keep(linear(x, weight)));
    expect(capture?.replay([new Float32Array(35)])).toBe(true);
    expect(Array.from(result.dataSync(), Math.abs)).toEqual(new Array(15).fill(0));
    expectCurrent({ weight, x });
  });

  it('multiply by a variable that they make, each time anew', () => {
    setPrecision('bf16');
    const [base, x] = [some([5, 7], 1), some([3, 7], 2)];
    let made: tf.Variable | undefined;
    const { capture, result } = captureKernels({ feeds: [base], state: [x] }, () => {
      made = tf.variable(tf.mul(base, 0.5));
      return tf.keep(linear(x, made));
    });
    expectCurrent({ weight: made as tf.Variable, x });
    expect(capture?.replay([new Float32Array(35)])).toBe(true);
    expect(Array.from(result.dataSync(), Math.abs)).toEqual(new Array(15).fill(0));
    expectCurrent({ weight: made as tf.Variable, x });
  });
});
