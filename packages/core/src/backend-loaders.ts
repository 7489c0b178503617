import { BackendError } from './errors';

/** Makes a tfjs backend known: importing its package registers it. Resolves to facts for people to read. */
export type BackendLoader = () => Promise<Record<string, string> | void>;

interface KnownBackend {
  readonly name: string;
  readonly remedy: string;
  readonly loaders: BackendLoader[];
}

/** In order of preference. */
export const knownBackends: readonly KnownBackend[] = [
  {
    name: 'vwn-cuda',
    remedy: 'npm install @vwn/kernels-cuda, on Linux with an NVIDIA GPU (Ampere or newer) and its driver',
    loaders: [fromPackage('@vwn/kernels-cuda')],
  },
  {
    name: 'tensorflow',
    remedy:
      'run `npx vwn backend install tensorflow`, or install @tensorflow/tfjs-node-gpu or @tensorflow/tfjs-node yourself',
    loaders: [tfjsNode('@tensorflow/tfjs-node-gpu'), tfjsNode('@tensorflow/tfjs-node')],
  },
  {
    name: 'vwn-cpu',
    remedy:
      'npm install @vwn/kernels-cpu; in a checkout, install a C++ compiler and run `npm test` or `npm run quickstart`',
    loaders: [fromPackage('@vwn/kernels-cpu')],
  },
  {
    name: 'wasm',
    remedy: 'npm install @tensorflow/tfjs-backend-wasm',
    loaders: [fromPackage('@tensorflow/tfjs-backend-wasm')],
  },
  {
    name: 'cpu',
    remedy: 'npm install @tensorflow/tfjs-backend-cpu',
    loaders: [fromPackage('@tensorflow/tfjs-backend-cpu')],
  },
];

/**
 * Adds a place where a backend may be found; it is tried before those known already.
 * @throws BackendError for a name that is not known
 */
export function registerBackendLoader(name: string, loader: BackendLoader): void {
  findBackend(name).loaders.unshift(loader);
}

/** @throws BackendError naming the known ones */
export function findBackend(name: string): KnownBackend {
  const found = knownBackends.find((each) => each.name === name);
  if (found) return found;
  const names = knownBackends.map((each) => each.name).join(', ');
  throw new BackendError(`there is no backend called ${name}`, {
    expected: `one of ${names}`,
    hint: '`npx vwn doctor` shows them all',
  });
}

/** The specifier is a variable, so that bundlers and type checkers do not look for packages that are optional. */
function fromPackage(specifier: string): BackendLoader {
  return async () => {
    const module = (await import(/* @vite-ignore */ /* webpackIgnore: true */ specifier)) as NativePackage;
    module.loadLibrary?.();
    return { package: specifier };
  };
}

/** Our native packages register before they load their library; asked here, it fails with a reason. */
interface NativePackage {
  loadLibrary?(): unknown;
}

/**
 * tfjs-node registers its kernels before it looks for its addon, and those of a package that then fails would stand in
 * the way of one that works. So the addon is looked for first.
 */
function tfjsNode(specifier: string): BackendLoader {
  return async () => {
    await prepareTfjsNode();
    const [nodeModule, nodeFs] = ['node:module', 'node:fs'];
    const { createRequire } = (await import(/* @vite-ignore */ nodeModule)) as {
      createRequire(url: string): { resolve(specifier: string): string };
    };
    const { existsSync } = (await import(/* @vite-ignore */ nodeFs)) as { existsSync(path: string): boolean };
    const manifest = createRequire(import.meta.url).resolve(`${specifier}/package.json`);
    if (!existsSync(manifest.replace(/package\.json$/, 'lib/napi-v8/tfjs_binding.node')))
      throw new Error(`${specifier} is installed without its native addon`);
    return fromPackage(specifier)();
  };
}

/** tfjs-node 4.22 calls util.isNullOrUndefined, which Node 23 removed; and TensorFlow is chatty at start. */
export async function prepareTfjsNode(): Promise<void> {
  if (typeof process === 'undefined') return;
  process.env.TF_CPP_MIN_LOG_LEVEL ??= '3';
  const specifier = 'node:util';
  const { default: util } = (await import(/* @vite-ignore */ specifier)) as {
    default: { isNullOrUndefined?: (value: unknown) => boolean };
  };
  util.isNullOrUndefined ??= (value) => value === null || value === undefined;
}
