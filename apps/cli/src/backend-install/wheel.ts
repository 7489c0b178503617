import { BackendError } from '@vwn/core';
import { existsSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { versions } from './location';
import { run } from './tools';

/** The libraries that the addon links to; their names are those in the wheel's folder tensorflow/. */
export const libraries = ['libtensorflow_cc.so.2', 'libtensorflow_framework.so.2'] as const;

/** Checked before anything is downloaded. @throws BackendError */
export function requireWheel(given: string): void {
  if (existsSync(given)) return;
  throw new BackendError(`there is no wheel at ${given}`, {
    hint: 'Check the path, or leave --wheel out to let pip download it',
  });
}

/** A given wheel, or the one that pip finds. @throws BackendError when it cannot be had */
export async function obtainWheel(python: string, folder: string, given?: string): Promise<string> {
  if (given !== undefined) return resolve(given);
  const arguments_ = ['-m', 'pip', 'download', '--no-deps', '--only-binary=:all:', '--dest', folder];
  try {
    await run(
      python,
      [...arguments_, `tensorflow-cpu==${versions.tensorflow}`],
      folder,
      'download tensorflow-cpu with pip',
    );
  } catch (cause) {
    throw new BackendError('libtensorflow cannot be had here', {
      got: cause instanceof Error ? cause.message : String(cause),
      hint: 'On a machine without network, bring the tensorflow-cpu wheel and name it with --wheel',
      cause,
    });
  }
  const wheel = readdirSync(folder).find((name) => name.endsWith('.whl'));
  if (wheel) return join(folder, wheel);
  throw new BackendError('pip downloaded no wheel', { hint: 'Name one with --wheel' });
}

/** zipfile instead of a JavaScript unzip: the wheel holds a library of 0.8 GB, and Python is needed for pip anyway. */
const extraction = `
import os, shutil, sys, zipfile
wheel, target, names = sys.argv[1], sys.argv[2], sys.argv[3:]
with zipfile.ZipFile(wheel) as archive:
    for name in archive.namelist():
        library = os.path.basename(name)
        if name.startswith("tensorflow/include/") and name.endswith((".h", ".inc")):
            path = os.path.join(target, name[len("tensorflow/"):])
        elif name == "tensorflow/" + library and library in names:
            path = os.path.join(target, "lib", library)
        else:
            continue
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with archive.open(name) as source, open(path, "wb") as sink:
            shutil.copyfileobj(source, sink, 1 << 20)
`;

/** Extracts headers to target/include and the libraries to target/lib. @throws BackendError */
export async function extractWheel(python: string, wheel: string, target: string): Promise<void> {
  await run(python, ['-c', extraction, wheel, target, ...libraries], '.', `unpack ${wheel}`);
  const absent = libraries.filter((name) => !existsSync(join(target, 'lib', name)));
  if (absent.length > 0)
    throw new BackendError(`${wheel} does not hold ${absent.join(' and ')}`, {
      hint: `Use a tensorflow or tensorflow-cpu wheel for Linux, version ${versions.tensorflow}`,
    });
}
