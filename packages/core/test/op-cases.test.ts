import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { Rng } from '../src/index';
import {
  checkGradients,
  evaluateCase,
  finiteDifferenceTolerance,
  goldenTolerance,
  maxRelativeError,
  opCases,
} from '../src/testing/index';
import { describeOnBackends, testBackends, useTestBackend } from './support/backends';

const smallCases = opCases.filter(({ size }) => size === 'small');

describeOnBackends('finite differences', () => {
  for (const opCase of smallCases)
    it(`agree with every gradient of ${opCase.name}`, () => {
      const inputs = opCase.inputs(Rng.fromSeed(opCase.name));
      for (const { input, error } of checkGradients(opCase, inputs))
        expect(error, `gradient of ${input}`).toBeLessThan(finiteDifferenceTolerance);
      tf.dispose(inputs);
    });
});

describe('the gradient check', () => {
  const run = (backward: number) => (inputs: Record<string, tf.Tensor>) => {
    const cube = tf.customGrad((x) => ({
      value: tf.mul(tf.mul(x as tf.Tensor, x as tf.Tensor), x as tf.Tensor),
      gradFunc: (dy) => tf.mul(dy, tf.mul(tf.square(x as tf.Tensor), backward)),
    }));
    return [cube(inputs.x as tf.Tensor)];
  };
  const error = (backward: number) => {
    const inputs = { x: tf.tensor1d(Rng.fromSeed(3).normals(40)) };
    return checkGradients({ run: run(backward), differentiable: ['x'] }, inputs)[0]?.error;
  };

  it('accepts a right gradient and refuses one that is 2 % off', async () => {
    await useTestBackend('cpu');
    expect(error(3)).toBeLessThan(finiteDifferenceTolerance);
    expect(error(3.06)).toBeGreaterThan(finiteDifferenceTolerance);
  });
});

describe.each(testBackends.filter((backend) => backend !== 'cpu'))('%s', (backend) => {
  for (const opCase of smallCases)
    it(`gives the outputs and gradients of the cpu backend: ${opCase.name}`, async () => {
      await useTestBackend('cpu');
      const reference = evaluateCase(opCase);
      await useTestBackend(backend);
      const { outputs, gradients } = evaluateCase(opCase);
      reference.outputs.forEach(({ values }, i) =>
        expect(maxRelativeError(outputs[i]?.values ?? [], values), `output ${i}`).toBeLessThan(goldenTolerance.forward),
      );
      for (const [name, { values }] of Object.entries(reference.gradients))
        expect(maxRelativeError(gradients[name]?.values ?? [], values), `gradient of ${name}`).toBeLessThan(
          goldenTolerance.gradient,
        );
    });
});
