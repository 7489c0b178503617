import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { defineKernel, hasNativeKernel, Rng } from '../src/index';
import { caseGradients, opCases, upstreamOf } from '../src/testing/index';
import { describeOnBackends } from './support/backends';

/** `y = factor · x` and `z = x + 1`; its gradient kernel only knows factor. */
function defineScaled(name: string) {
  const gradKernel = defineKernel<'x' | 'dy' | 'dz', { factor: number }>({
    name: `${name}Grad`,
    inputs: ['x', 'dy', 'dz'],
    composed: ({ dy, dz }, { factor }) => tf.add(tf.mul(dy, factor), dz),
  });
  return defineKernel<'x', { factor: number }>({
    name,
    inputs: ['x'],
    composed: ({ x }, { factor }) => [tf.mul(x, factor), tf.add(x, 1)],
    gradient: {
      backward: ([dy, dz], { x }, _outputs, attrs) => ({
        x: gradKernel({ x, dy: dy as tf.Tensor, dz: dz as tf.Tensor }, attrs)[0] as tf.Tensor,
      }),
    },
  });
}

/** `y = x²`, whose gradient is made of tfjs's own operations, and so can be differentiated again. */
const defineSquare = (name: string, whileBackward: () => void = () => undefined) =>
  defineKernel<'x', object>({
    name,
    inputs: ['x'],
    composed: ({ x }) => tf.square(x),
    gradient: {
      backward: ([dy], { x }) => {
        whileBackward();
        return { x: tf.tidy(() => tf.mul(tf.mul(dy as tf.Tensor, 2), x)) };
      },
    },
  });

const first = (tensors: tf.Tensor[]) => tensors[0] as tf.Tensor;

describeOnBackends('a named kernel', (backend) => {
  it('runs its composed form where the backend has none of its own', () => {
    const scaled = defineScaled(`TestComposed${backend}`);
    const [y, z] = scaled({ x: tf.tensor1d([1, 2]) }, { factor: 3 }) as [tf.Tensor, tf.Tensor];
    expect([...y.dataSync(), ...z.dataSync()]).toEqual([3, 6, 2, 3]);
    expect(hasNativeKernel(`TestComposed${backend}`)).toBe(false);
  });

  it("is the backend's own where it has one, forward and backward, with the gradient found by name", () => {
    const name = `TestNative${backend}`;
    const calls: string[] = [];
    for (const kernelName of [name, `${name}Grad`])
      tf.registerKernel({
        kernelName,
        backendName: backend,
        kernelFunc: ({ inputs, attrs }) => {
          calls.push(kernelName);
          const x = (inputs.dy ?? inputs.x) as tf.Tensor;
          const scaled = tf.mul(x, (attrs as unknown as { factor: number }).factor);
          return kernelName === name ? [scaled, tf.clone(x)] : scaled;
        },
      });
    const scaled = defineScaled(name);
    expect(hasNativeKernel(name)).toBe(true);
    const gradient = tf.grad((x) => first(scaled({ x }, { factor: 5 })))(tf.tensor1d([1, 2]));
    expect([...gradient.dataSync()]).toEqual([5, 5]);
    expect(calls).toEqual([name, `${name}Grad`]);
  });

  it('passes zeros as the gradient of an output that nobody used', () => {
    const scaled = defineScaled(`TestUnused${backend}`);
    const x = tf.tensor1d([1, 2]);
    expect([
      ...tf
        .grad((x) => first(scaled({ x }, { factor: 3 })))(x)
        .dataSync(),
    ]).toEqual([3, 3]);
    expect([
      ...tf
        .grad((x) => scaled({ x }, { factor: 3 })[1] as tf.Tensor)(x)
        .dataSync(),
    ]).toEqual([1, 1]);
  });

  it('keeps those inputs only that its gradient has asked for', () => {
    let there: string[] = [];
    const scaled = defineKernel<'x' | 'factor', object>({
      name: `TestSavedInputs${backend}`,
      inputs: ['x', 'factor'],
      composed: ({ x, factor }) => tf.mul(x, factor),
      gradient: {
        savedInputs: ['factor'],
        savedOutputs: [true],
        backward: ([dy], inputs, outputs) => {
          there = [...Object.keys(inputs), `${outputs.length} outputs`];
          return { x: tf.mul(dy as tf.Tensor, inputs.factor) };
        },
      },
    });
    const factor = tf.scalar(3);
    const gradient = tf.grad((x) => tf.sum(first(scaled({ x, factor }, {}))))(tf.tensor1d([1, 2]));
    expect([...gradient.dataSync()]).toEqual([3, 3]);
    expect(there).toEqual(['factor', '1 outputs']);
  });

  it('frees what it saved as soon as its gradient is there, so that a backward pass takes no second memory', () => {
    const bytes: number[] = [];
    const square = defineSquare(`TestSaved${backend}`, () => bytes.push(tf.memory().numBytes));
    const before = tf.memory().numBytes;
    const chain = (x: tf.Tensor) => {
      for (let i = 0; i < 10; i++) x = first(square({ x }, {}));
      return x;
    };
    tf.dispose(tf.tidy(() => tf.grad(chain)(tf.ones([1000]))));
    expect(bytes).toHaveLength(10);
    // x, what ten steps saved, the result, and its gradient; from then on each gradient takes the place of one saved.
    expect(Math.max(...bytes) - before).toBeLessThanOrEqual(13.5 * 4000);
    expect(tf.memory().numBytes).toBe(before);
  });

  it('keeps what it saved for a gradient of its gradient', () => {
    const square = defineSquare(`TestTwice${backend}`);
    const slope = tf.grad((x) => first(square({ x: first(square({ x }, {})) }, {})));
    expect(slope(tf.tensor1d([1, 2])).arraySync()).toEqual([4, 32]);
    expect(
      tf
        .grad((x) => tf.sum(slope(x)))(tf.tensor1d([1, 2]))
        .arraySync(),
    ).toEqual([12, 48]);
  });

  it('frees all intermediate tensors of the composed form', () => {
    const scaled = defineScaled(`TestMemory${backend}`);
    const x = tf.tensor1d([1, 2]);
    const before = tf.memory().numTensors;
    tf.dispose(scaled({ x }, { factor: 3 }));
    expect(tf.memory().numTensors).toBe(before);
  });
});

const perKernel = new Map(
  opCases.filter(({ size }) => size === 'small').map((each) => [each.kernels[0], each] as const),
);

describeOnBackends('every operation', () => {
  for (const opCase of perKernel.values()) {
    const withInputs = <T>(test: (inputs: Record<string, tf.Tensor>, upstream: tf.Tensor[]) => T): T => {
      const rng = Rng.fromSeed(opCase.name);
      const inputs = opCase.inputs(rng.fork('inputs'));
      return test(
        inputs,
        tf.tidy(() => upstreamOf(opCase.run(inputs), rng.fork('upstream'))),
      );
    };

    it(`appears in tf.profile under its kernel name and that of its gradient: ${opCase.name}`, async () => {
      const { kernelNames } = await withInputs((inputs, upstream) =>
        tf.profile(() => caseGradients(opCase, inputs, upstream)),
      );
      expect(kernelNames).toEqual(expect.arrayContaining([...opCase.kernels]));
    });

    it(`leaks no tensor over repeated calls, forward and backward: ${opCase.name}`, () =>
      withInputs((inputs, upstream) => {
        const call = () => {
          tf.dispose(opCase.run(inputs));
          tf.dispose(caseGradients(opCase, inputs, upstream));
          return tf.memory().numTensors;
        };
        const after = call();
        expect([call(), call()]).toEqual([after, after]);
      }));
  }
});

describe('the case table', () => {
  it('names every row differently, so that results can be told apart', () => {
    expect(new Set(opCases.map(({ name }) => name)).size).toBe(opCases.length);
  });
});
