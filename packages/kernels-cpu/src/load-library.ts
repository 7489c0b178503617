import { BackendError } from '@vwn/core';
import type { NativeLibrary } from '@vwn/kernels';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const require = createRequire(import.meta.url);

/** The package that holds the prebuilt addon for this machine, e.g. `@vwn/kernels-cpu-linux-x64`. */
export const platformPackage = `@vwn/kernels-cpu-${process.platform}-${process.arch}`;

/**
 * Loads the addon: the one that VWN_CPU_ADDON names, else the one that this checkout built, else the platform
 * package's. Repeated calls give the same library.
 * @throws BackendError saying what was looked for and why each did not do
 */
export function loadLibrary(): NativeLibrary {
  loaded ??= open();
  return loaded;
}

let loaded: NativeLibrary | undefined;

/** src/ and dist/ lie beside build/, in a checkout and in an installed package alike. */
const checkoutAddon = fileURLToPath(new URL('../build/vwn_cpu.node', import.meta.url));

function open(): NativeLibrary {
  const named = process.env.VWN_CPU_ADDON;
  const candidates = named ? [named] : [...(existsSync(checkoutAddon) ? [checkoutAddon] : []), platformPackage];
  const reasons: string[] = [];
  for (const candidate of candidates) {
    try {
      return require(candidate) as NativeLibrary;
    } catch (error) {
      reasons.push(`${candidate}: ${firstLine(error)}`);
    }
  }
  throw new BackendError('the native library of vwn-cpu cannot be loaded', {
    got: reasons.join('; '),
    hint: `Install ${platformPackage}, or in a checkout a C++ compiler, then \`npm test\` or \`npm run quickstart\` builds it`,
  });
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n')[0] as string;
}
