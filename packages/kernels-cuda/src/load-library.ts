import { loadAddon, type NativeLibrary } from '@vwn/kernels';
import { fileURLToPath } from 'node:url';

/** The package that holds the prebuilt addon, with its kernels, for this machine. */
export const platformPackage = `@vwn/kernels-cuda-${process.platform}-${process.arch}`;

/** What runs the same kernels on the host, thread by thread: for tests, hundreds of times slower than `cpu`. */
export const emulatedAddon = fileURLToPath(new URL('../build/emulated/vwn_cuda.node', import.meta.url));

/**
 * Loads the addon: the one that VWN_CUDA_ADDON names, else the one that this checkout built, else the platform
 * package's. Repeated calls give the same library.
 * @throws BackendError saying what is missing: the addon, the NVIDIA driver, or a GPU; ConfigError for a VWN_CUDA_ADDON
 *   that cannot be
 */
export function loadLibrary(): NativeLibrary {
  loaded ??= loadAddon({
    name: 'vwn-cuda',
    from: import.meta.url,
    variable: 'VWN_CUDA_ADDON',
    // src/ and dist/ lie beside build/.
    built: '../build/vwn_cuda.node',
    platformPackage,
    hint: 'It needs Linux, an NVIDIA GPU and its driver; without one, vwn-cpu is the fast backend',
  });
  return loaded;
}

let loaded: NativeLibrary | undefined;
