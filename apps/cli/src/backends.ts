import { registerBackendLoader, selectBackend, setPrecision, type BackendInfo, type Precision } from '@vwn/core';
import { Option } from 'commander';
import { loadInstalledTensorflow, tensorflowBackendLocation } from './backend-install/index';

/**
 * Adds the native kernels that the CLI brings, and what `vwn backend install` has put on this machine, to the places where
 * backends are looked for: @vwn/core need not be able to see either.
 */
export function addInstalledBackends(): void {
  registerBackendLoader('vwn-cpu', loadNativeKernels);
  if (tensorflowBackendLocation() !== undefined) registerBackendLoader('tensorflow', loadInstalledTensorflow);
}

async function loadNativeKernels(): Promise<Record<string, string>> {
  const { loadLibrary } = await import('@vwn/kernels-cpu');
  loadLibrary();
  return { package: '@vwn/kernels-cpu' };
}

/**
 * Makes a backend current: the one named by hand, else VWN_BACKEND, else the first that works here.
 * @throws BackendError when it cannot run or has no such precision
 */
export async function useBackend(name?: string, precision: Precision = 'fp32'): Promise<BackendInfo> {
  addInstalledBackends();
  const info = await selectBackend(name);
  setPrecision(precision);
  return info;
}

/** `initial` is undefined for a command whose configuration has a precision of its own. */
export function precisionOption(initial?: Precision): Option {
  const option = new Option('--precision <p>', 'how the backend stores activations').choices(['fp32', 'bf16']);
  return initial === undefined ? option : option.default(initial);
}
