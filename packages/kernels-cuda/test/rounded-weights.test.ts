/** Copies of weights in bf16 that vwn-cuda keeps beside them: what products read is always what the weight is now. */
import * as tf from '@tensorflow/tfjs-core';
import { adamWAll, adamWByFactors, adamWFactors, captureKernels, linear, linears, setPrecision } from '@vwn/core';
import type { NativeBackend } from '@vwn/kernels';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { useTestBackend } from '../../core/test/support/backends';

const backend = () => tf.engine().backend as unknown as NativeBackend;
const some = (shape: number[], seed: number) => tf.randomNormal(shape, 0, 1, 'float32', seed);

/** Names of native functions that `work` calls. */
function callsOf(work: () => void): string[] {
  const native = backend();
  const names: string[] = [];
  const { call } = native;
  native.call = (name, ...rest) => (names.push(name), call.call(native, name, ...rest));
  try {
    work();
  } finally {
    native.call = call;
  }
  return names;
}

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
  it('is made once, and neither in another product, nor in the gradient, nor behind an update', () => {
    setPrecision('bf16');
    const of = trained();
    expect(callsOf(() => of.step()).filter((name) => name === 'convert').length).toBeGreaterThan(0);
    const before = of.weight.dataSync();
    const again = callsOf(() => of.step());
    expect(again).toContain('linears_grad');
    expect(again).toContain('adamw');
    // x is converted by nobody, and the gradient that comes from float32 loss once.
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

  it('follows replays of a captured step', () => {
    setPrecision('bf16');
    const { weight, x, step } = trained();
    step();
    const [m, v] = [zeros(), zeros()];
    const betas = { beta1: 0.9, beta2: 0.99, eps: 1e-8 };
    const factors = tf.tensor2d([adamWFactors({ lr: 0.1, ...betas, weightDecay: 0, step: 1 })]);
    const gradScale = tf.scalar(1);
    const { capture, reason } = captureKernels(
      { feeds: [factors], state: [x, gradScale], written: [weight, m, v] },
      () =>
        tf.tidy(() => {
          const { value, grads } = tf.variableGrads(() => tf.sum(tf.square(linear(x, weight))), [weight]);
          const of = { param: weight, grad: grads[weight.name] as tf.Tensor, m, v, row: 0 };
          adamWByFactors([of], { ...betas, factors, gradScale });
          return tf.keep(value);
        }),
    );
    expect(reason).toBeUndefined();
    for (let i = 0; i < 3; i++) {
      expect(capture?.replay([factors.dataSync()])).toBe(true);
      expectCurrent({ weight, x });
    }
    capture?.dispose();
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
    expect(backend().keptRounded(weight)).toBeUndefined();
  });

  it('is not made in fp32', () => {
    const of = trained();
    of.step();
    expect(backend().keptRounded(of.weight)).toBeUndefined();
  });
});
