/**
 * The backends that tests run on: VWN_TEST_BACKENDS, by default cpu and wasm. A named backend that cannot be loaded is
 * a failure, so that no test is green because it was skipped.
 */
import * as tf from '@tensorflow/tfjs-core';
import { createRequire } from 'node:module';
import util from 'node:util';
import { beforeAll, describe } from 'vitest';

export const testBackends = (process.env.VWN_TEST_BACKENDS ?? 'cpu,wasm').split(',').map((name) => name.trim());

export async function useTestBackend(name: string): Promise<void> {
  await load(name);
  if (!(await tf.setBackend(name))) throw new Error(`backend ${name} does not initialise`);
}

/** The same tests on every backend. */
export function describeOnBackends(title: string, tests: (backend: string) => void): void {
  describe.each(testBackends)(`${title} on %s`, (backend) => {
    beforeAll(() => useTestBackend(backend));
    tests(backend);
  });
}

async function load(name: string): Promise<void> {
  if (name === 'cpu') await import('@tensorflow/tfjs-backend-cpu');
  else if (name === 'wasm') await import('@tensorflow/tfjs-backend-wasm');
  else if (name === 'tensorflow') loadTensorflow();
  else if (name === 'vwn-cpu') await import('@vwn/kernels-cpu');
  else if (name === 'vwn-cuda') await loadCuda();
  else throw new Error(`VWN_TEST_BACKENDS names ${name}; known are cpu, wasm, tensorflow, vwn-cpu, vwn-cuda`);
}

/** On the host, thread by thread, unless VWN_CUDA_ADDON names the library for GPUs. */
async function loadCuda(): Promise<void> {
  const { emulatedAddon } = await import('@vwn/kernels-cuda');
  process.env.VWN_CUDA_ADDON ??= emulatedAddon;
}

function loadTensorflow(): void {
  // tfjs-node 4.22 calls a helper that Node 23 removed.
  const legacy = util as { isNullOrUndefined?: (value: unknown) => boolean };
  legacy.isNullOrUndefined ??= (value) => value == null;
  createRequire(import.meta.url)(process.env.VWN_TENSORFLOW_MODULE ?? '@tensorflow/tfjs-node');
}
