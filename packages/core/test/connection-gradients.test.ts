import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, it } from 'vitest';
import { Rng } from '../src/index';
import {
  checkGradients,
  connectionCases,
  evaluateCase,
  finiteDifferenceTolerance,
  maxRelativeError,
} from '../src/testing/index';
import { describeOnBackends, testBackends, useTestBackend } from './support/backends';

const smallCases = connectionCases.filter(({ size }) => size === 'small');

describeOnBackends('finite differences', () => {
  for (const opCase of smallCases)
    it(`agree with every gradient of ${opCase.name}`, () => {
      const inputs = opCase.inputs(Rng.fromSeed(opCase.name));
      for (const { input, error } of checkGradients(opCase, inputs))
        expect(error, `gradient of ${input}`).toBeLessThan(finiteDifferenceTolerance);
      tf.dispose(inputs);
    });
});
