import { loadAddon, type NativeLibrary } from '@vwn/kernels';

/** The package that holds the prebuilt addon for this machine, e.g. `@vwn/kernels-cpu-linux-x64`. */
export const platformPackage = `@vwn/kernels-cpu-${process.platform}-${process.arch}`;

/**
 * Loads the addon: the one that VWN_CPU_ADDON names, else the one that this checkout built, else the platform
 * package's. Repeated calls give the same library.
 * @throws BackendError saying what was looked for and why it did not do; ConfigError for a VWN_CPU_ADDON, VWN_NUM_THREADS
 *   or VWN_CPU_ISA that cannot be
 */
export function loadLibrary(): NativeLibrary {
  loaded ??= loadAddon({
    name: 'vwn-cpu',
    from: import.meta.url,
    variable: 'VWN_CPU_ADDON',
    // src/ and dist/ lie beside build/.
    built: '../build/vwn_cpu.node',
    platformPackage,
    hint: `Install ${platformPackage}, or in a checkout a C++ compiler, then \`npm test\` or \`npm run quickstart\` builds it`,
  });
  return loaded;
}

let loaded: NativeLibrary | undefined;
