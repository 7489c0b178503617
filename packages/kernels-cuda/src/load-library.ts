import { BackendError } from '@vwn/core';
import type { NativeLibrary } from '@vwn/kernels';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const require = createRequire(import.meta.url);

/** src/ and dist/ lie beside build/, in a checkout and in an installed package alike. */
const addonOf = (build: string): string => fileURLToPath(new URL(`../build/${build}vwn_cuda.node`, import.meta.url));

/** The library that runs the same kernels on the host, thread by thread: for tests, hundreds of times slower than `cpu`. */
export const emulatedAddon = addonOf('emulated/');

/**
 * Loads the addon that VWN_CUDA_ADDON names, else the one for GPUs. Repeated calls give the same library.
 * @throws BackendError saying what is missing: the addon, the NVIDIA driver, or a GPU
 */
export function loadLibrary(): NativeLibrary {
  loaded ??= open(process.env.VWN_CUDA_ADDON ?? addonOf(''));
  return loaded;
}

let loaded: NativeLibrary | undefined;

function open(addon: string): NativeLibrary {
  try {
    return require(addon) as NativeLibrary;
  } catch (error) {
    throw new BackendError('the native library of vwn-cuda cannot be loaded', {
      got: (error instanceof Error ? error.message : String(error)).split('\n')[0] as string,
      hint: 'It needs Linux, an NVIDIA GPU and its driver; without one, vwn-cpu is the fast backend',
    });
  }
}
