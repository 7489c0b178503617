import { BackendError, ConfigError } from '@vwn/core';
import { existsSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { NativeLibrary } from './native-library';
import { partsOf } from './native-text';

export interface AddonPlaces {
  /** Of the backend, for texts. */
  readonly name: string;
  /** import.meta.url of the package's module: packages are found from there. */
  readonly from: string;
  /** The environment variable that may name an addon; nothing else is tried then. */
  readonly variable: string;
  /** What a checkout builds, relative to `from`. */
  readonly built: string;
  /** The package that holds the addon prebuilt for this machine. */
  readonly platformPackage: string;
  /** What to do where there is none, or it cannot be opened. */
  readonly hint: string;
}

/**
 * Loads an addon.
 * @throws BackendError saying which one was tried, and why it did not do; ConfigError where an environment variable says
 *   what cannot be
 */
export function loadAddon(places: AddonPlaces): NativeLibrary {
  const { name, from, variable, built, platformPackage } = places;
  const named = process.env[variable];
  const checkout = fileURLToPath(new URL(built, from));
  const addon = named || (existsSync(checkout) ? checkout : platformPackage);
  try {
    const library = createRequire(from)(addon) as Partial<NativeLibrary> | null;
    if (named && typeof library?.abiVersion !== 'number') throw new Error('what it exports is no native library');
    return library as NativeLibrary;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'VWN_SETTING') throw wrongSetting(error as Error);
    if (code === 'VWN_IN_USE') throw inUse(name, error as Error);
    // The addon itself says what it lacks here; anything else says that what is named is no addon.
    if (named && code !== 'VWN_NATIVE') throw wrongName(places, named, error);
    const got = `${addon}: ${firstLine(error)}`;
    throw new BackendError(`the native library of ${name} cannot be loaded`, { got, hint: places.hint });
  }
}

function wrongSetting({ message }: Error): ConfigError {
  const { got, ...parts } = partsOf(message);
  return new ConfigError(got, parts);
}

function inUse(name: string, { message }: Error): BackendError {
  return new BackendError(`the native library of ${name} cannot be loaded twice`, {
    expected: 'one thread of the process to use it',
    got: message,
    hint: 'Run it in one of them, or in a process of its own; when that thread has ended, another may load it',
  });
}

function wrongName({ name, variable }: AddonPlaces, named: string, error: unknown): ConfigError {
  return new ConfigError(`${variable} names no native library of ${name} that can be loaded`, {
    expected: 'the absolute path of a build of it',
    got: `${named}: ${whyNot(named, error)}`,
    hint: `Correct ${variable}, or leave it out to use the library of this checkout or of the package`,
  });
}

function whyNot(named: string, error: unknown): string {
  if (!existsSync(named)) return 'there is no such file';
  if (statSync(named).isDirectory()) return 'it is a folder';
  // Node takes what does not end in .node for JavaScript.
  if (error instanceof Error && error.name === 'SyntaxError') return 'it is no native library';
  // dlopen's text begins with the path.
  return firstLine(error).replace(`${named}: `, '');
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n')[0] as string;
}
