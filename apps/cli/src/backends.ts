import { registerBackendLoader, selectBackend, type BackendInfo } from '@vwn/core';
import { loadInstalledTensorflow, tensorflowBackendLocation } from './backend-install/index';

/** Adds what `vwn backend install` has put on this machine to the places where backends are looked for. */
export function addInstalledBackends(): void {
  if (tensorflowBackendLocation() !== undefined) registerBackendLoader('tensorflow', loadInstalledTensorflow);
}

/** Makes a backend current: the one named by hand, else VWN_BACKEND, else the first that works here. */
export async function useBackend(name?: string): Promise<BackendInfo> {
  addInstalledBackends();
  return selectBackend(name);
}
