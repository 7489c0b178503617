/**
 * Makes the test files of @tensorflow/tfjs-core loadable in Node.
 *
 * They are ES modules without file extensions that import the sources beside them ('../index'), while Node gives every
 * other package the bundled dist/tf-core.node.js: two copies of tfjs. So the tests and the sources they use are bundled
 * into one CommonJS file, and that file's tfjs takes the place of tf-core.node.js in Node's module cache. `require` and
 * `import` both look there, so that a backend, itself untouched and with native addons where it expects them, gets the
 * very tfjs that is tested.
 */
import { build } from 'esbuild';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire, Module } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

const require = createRequire(import.meta.url);

/**
 * Declares all specs to the jasmine that is in the globals, and puts their tfjs in place for the backend.
 * @param testEnv tfjs's description of the backend: name, backendName, isDataSync
 * @returns the tfjs-core of the tests
 */
export async function loadTests({ coreFile }, testEnv) {
  if (require.cache[coreFile])
    throw new Error(`${coreFile} was loaded before the test suite. Import the backend only after loadTests()`);
  const code = await bundle(dirname(coreFile), testEnv);
  const core = evaluate(code).core;
  replaceModule(coreFile, callable(core));
  return core;
}

async function bundle(dist, testEnv) {
  const { outputFiles } = await build({
    // The order matters: tests ask for the environments when they are evaluated, and imports run in order.
    stdin: {
      contents: `
        export * as core from './index';
        import './register_all_gradients';
        import './public/chained_ops/register_all_chained_ops';
        import 'vwn:test-environment';
        import './tests';`,
      resolveDir: dist,
    },
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    write: false,
    logLevel: 'error',
    // tfjs-core's package.json calls its tests free of side effects, which would leave nothing of them.
    ignoreAnnotations: true,
    // An optional package of node-fetch.
    external: ['encoding'],
    plugins: [virtualModules(dist, testEnv)],
  });
  return outputFiles[0].text;
}

function virtualModules(dist, testEnv) {
  const contents = {
    'vwn:test-environment': `import { setTestEnvs } from './jasmine_util'; setTestEnvs([${JSON.stringify(testEnv)}]);`,
    // jasmine_util sets the time limit on a jasmine of its own making; let that be the one that runs.
    'jasmine-core/lib/jasmine-core/jasmine.js': 'exports.core = () => globalThis.jasmine;',
  };
  return {
    name: 'virtual-modules',
    setup({ onResolve, onLoad }) {
      onResolve({ filter: /^(vwn:|jasmine-core\/)/ }, ({ path }) =>
        path in contents ? { path, namespace: 'virtual' } : undefined,
      );
      onLoad({ filter: /.*/, namespace: 'virtual' }, ({ path }) => ({ contents: contents[path], resolveDir: dist }));
    },
  };
}

function evaluate(code) {
  const folder = mkdtempSync(join(tmpdir(), 'vwn-tfjs-suite-'));
  try {
    const file = join(folder, 'tfjs-tests.cjs');
    writeFileSync(file, code);
    return require(file);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * The same exports, with classes that ES5 code can extend. The sources are ES2017, while tf-core.node.js and the backends
 * that go with it are ES5, where a subclass calls its base: `Base.call(this)`, which ES2017 forbids.
 */
function callable(core) {
  const proxies = new Map();
  const view = (value) => {
    if (typeof value !== 'function' || !/^class\b/.test(Function.prototype.toString.call(value))) return value;
    const apply = (base, self, args) => Reflect.construct(base, args, self.constructor);
    if (!proxies.has(value)) proxies.set(value, new Proxy(value, { apply }));
    return proxies.get(value);
  };
  const exports = {};
  // Getters, as some exports are assigned later.
  for (const name of Object.keys(core))
    Object.defineProperty(exports, name, { enumerable: true, get: () => view(core[name]) });
  return exports;
}

function replaceModule(file, exports) {
  const stand = new Module(file);
  stand.filename = file;
  stand.loaded = true;
  stand.exports = exports;
  require.cache[file] = stand;
}
