import { BackendError, ConfigError } from '@vwn/core';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { NativeLibrary } from './native-library';

export interface AddonPlaces {
  /** Of the backend, for texts. */
  readonly name: string;
  /** import.meta.url of the package's module: packages are found from there. */
  readonly from: string;
  /** What an environment variable names; nothing else is tried then. */
  readonly named: string | undefined;
  /** What a checkout builds, relative to `from`. */
  readonly built: string;
  /** The package that holds the addon prebuilt for this machine. */
  readonly platformPackage: string;
  /** What to do where it cannot be loaded. */
  readonly hint: string;
}

/**
 * Loads an addon.
 * @throws BackendError saying which one was tried, and why it did not do; ConfigError where an environment variable says
 *   what cannot be
 */
export function loadAddon({ name, from, named, built, platformPackage, hint }: AddonPlaces): NativeLibrary {
  const checkout = fileURLToPath(new URL(built, from));
  const addon = named || (existsSync(checkout) ? checkout : platformPackage);
  try {
    return createRequire(from)(addon) as NativeLibrary;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'VWN_SETTING') throw new ConfigError((error as Error).message);
    const reason = (error instanceof Error ? error.message : String(error)).split('\n')[0] as string;
    throw new BackendError(`the native library of ${name} cannot be loaded`, { got: `${addon}: ${reason}`, hint });
  }
}
