import '@tensorflow/tfjs-backend-cpu';
import { getKernelsForBackend, registerBackend, registerKernel } from '@tensorflow/tfjs-core';
import { BackendError } from '@vwn/core';
import { NativeBackend, type NativeBackendOptions } from './native-backend';
import { abiVersion, type NativeLibrary } from './native-library';
import { kernelTable } from './table/index';

/**
 * Makes a tfjs backend of a native library known under a name: all stock CPU kernels first, then every row of the
 * table. `open` loads the library when the backend is first used; a BackendError says which functions it lacks.
 */
export function registerNativeBackend(
  name: string,
  open: () => NativeLibrary,
  { priority = 0, ...options }: NativeBackendOptions & { readonly priority?: number } = {},
): void {
  const native = new Set(kernelTable.map(({ kernelName }) => kernelName));
  for (const config of getKernelsForBackend('cpu')) {
    // Composed forms that the CPU backend was given are not stock, and would count as native here.
    const isComposed = config.kernelName.startsWith('Vwn');
    if (!isComposed && !native.has(config.kernelName)) registerKernel({ ...config, backendName: name });
  }
  for (const { kernelName, kernelFunc } of kernelTable) registerKernel({ kernelName, backendName: name, kernelFunc });
  registerBackend(name, () => new NativeBackend(checked(open()), options), priority);
}

function checked(library: NativeLibrary): NativeLibrary {
  if (library.abiVersion !== abiVersion)
    throw new BackendError('the native library and its package do not belong together', {
      expected: `interface version ${abiVersion}`,
      got: String(library.abiVersion),
      hint: 'Install @vwn/kernels and the kernel package in the same version, or build the checkout again',
    });
  const known = new Set(library.functions);
  const missing = kernelTable.flatMap(({ functions }) => functions).filter((name) => !known.has(name));
  if (missing.length > 0)
    throw new BackendError(`the native library lacks ${[...new Set(missing)].join(', ')}`, {
      hint: 'Build the checkout again (node packages/kernels-cpu/scripts/build-native.mjs)',
    });
  return library;
}
