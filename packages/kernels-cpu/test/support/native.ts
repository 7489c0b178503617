/**
 * Tests of vwn-cpu run when VWN_TEST_BACKENDS names it, as everywhere (packages/core/test/support/backends.ts); a
 * library that is named and cannot be loaded is a failure. Where it is not named, a test says so by its name.
 */
import type { NativeBackend } from '@vwn/kernels';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { testBackends, useTestBackend } from '../../../core/test/support/backends';

export const isNativeTested = testBackends.includes('vwn-cpu');

export function describeNative(title: string, tests: () => void): void {
  if (!isNativeTested) {
    describe(title, () => it('is NOT TESTED: vwn-cpu is not among VWN_TEST_BACKENDS', ranWithoutNative));
    return;
  }
  describe(title, () => {
    beforeAll(() => useTestBackend('vwn-cpu'));
    tests();
  });
}

/** Instruction sets that tests run with: those of this machine and build; none where vwn-cpu is not tested. */
export async function testedInstructionSets(): Promise<readonly string[]> {
  return isNativeTested ? (await import('@vwn/kernels-cpu')).loadLibrary().instructionSets : [];
}

export const nativeBackend = (): NativeBackend => tf.backend() as NativeBackend;

function ranWithoutNative(): void {
  expect(testBackends).not.toContain('vwn-cpu');
}
