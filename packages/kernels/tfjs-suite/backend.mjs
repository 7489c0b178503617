/** Finds and loads the module that registers the backend under test. */
import { createRequire } from 'node:module';
import { isAbsolute, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const defaultModules = {
  cpu: '@tensorflow/tfjs-backend-cpu',
  wasm: '@tensorflow/tfjs-backend-wasm',
  'vwn-cpu': '@vwn/kernels-cpu',
  'vwn-cuda': '@vwn/kernels-cuda',
};

/**
 * Where the backend's module lies, without loading it: the suite must be in place before it.
 * `coreFile` is the file that Node gives this very module for '@tensorflow/tfjs-core'.
 */
export function findBackend(name, module = defaultModules[name]) {
  if (!module)
    throw new Error(
      `No module is known for backend '${name}' (known: ${Object.keys(defaultModules).join(', ')}). ` +
        'Name the package or file that registers it: --module MODULE',
    );
  const file = resolveModule(module, name);
  return { name, module, file, coreFile: resolveCore(file) };
}

function resolveModule(module, name) {
  try {
    if (isAbsolute(module) || /^\.\.?([/\\]|$)/.test(module))
      return createRequire(join(process.cwd(), 'from-here.js')).resolve(module);
    return fileURLToPath(import.meta.resolve(module));
  } catch (error) {
    throw new Error(
      `Module '${module}' of backend '${name}' was not found: ${firstLine(error)}. ` +
        'Install or build it, or name another with --module',
      { cause: error },
    );
  }
}

/** A backend that was installed elsewhere has a tfjs-core of its own: that one is tested with it. */
function resolveCore(backendFile) {
  for (const from of [backendFile, import.meta.url])
    try {
      return createRequire(from).resolve('@tensorflow/tfjs-core');
    } catch {
      continue;
    }
  throw new Error(`@tensorflow/tfjs-core was not found from ${backendFile}. Run the install of the checkout`);
}

export async function loadBackend({ name, module, file, coreFile }, core) {
  try {
    await import(pathToFileURL(file).href);
  } catch (error) {
    throw new Error(
      `Module '${module}' of backend '${name}' (${file}) cannot be loaded: ${firstLine(error)}. ` +
        'Build the checkout (npx --yes pnpm@10 run build) if a file is missing; DEBUG=1 shows the whole error',
      { cause: error },
    );
  }
  requireOneCore(coreFile, module);
  if (!core.findBackendFactory(name))
    throw new Error(
      `Module '${module}' registered no backend '${name}', only: ` +
        `${Object.keys(core.engine().registryFactory).join(', ') || 'none'}. Correct --backend or --module`,
    );
}

/** tfjs keeps its engine in a global, so that a second copy would work almost, and test something else. */
function requireOneCore(coreFile, module) {
  const others = Object.keys(createRequire(import.meta.url).cache).filter(
    (file) => /[/\\]tf-core\.[\w.]+$/.test(file) && file !== coreFile,
  );
  if (others.length > 0)
    throw new Error(
      `Module '${module}' loaded a second copy of @tensorflow/tfjs-core: ${others.join(', ')}, besides ${coreFile}. ` +
        'Install so that all packages share one version',
    );
}

function firstLine(error) {
  return String(error?.message ?? error).split('\n')[0];
}
