/**
 * Runs TensorFlow.js's own test suite, which @tensorflow/tfjs-core ships, on any backend.
 *
 *   node packages/kernels/tfjs-suite/run.mjs --backend vwn-cpu
 *
 *   --backend NAME     the backend's name in tfjs; default vwn-cpu
 *   --module MODULE    what registers it when imported: a package or a path; has a default for cpu, wasm, vwn-cpu, vwn-cuda
 *   --exceptions FILE  JSON list of {"spec": full name, "reason": why it may fail}; default exceptions/NAME.json, if any
 *   --filter TEXT      only specs whose full name contains TEXT
 *   --verbose          show what the tests write to the console, and whole failure messages
 *
 * Exit code 1: a spec failed that is not excepted, or an exception is no longer needed.
 */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { findBackend, loadBackend } from './backend.mjs';
import { loadTests } from './bundle.mjs';
import { JasmineRun } from './jasmine-run.mjs';
import { describeVerdict, judge, readExceptions } from './verdict.mjs';

const options = {
  backend: { type: 'string', default: 'vwn-cpu' },
  module: { type: 'string' },
  exceptions: { type: 'string' },
  filter: { type: 'string', default: '' },
  verbose: { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h', default: false },
};

try {
  finish(...(await main()));
} catch (error) {
  finish(`${process.env.DEBUG ? error.stack : error.message}\n`, 1);
}

/** What to print and the exit code. */
async function main() {
  const { values } = parseArgs({ options });
  if (values.help) return [help(), 0];
  const { backend: name, filter, verbose } = values;
  const exceptions = readExceptions(values.exceptions ?? ownExceptions(name));

  const backend = findBackend(name, values.module);
  const run = new JasmineRun({ filter, verbose });
  const core = await loadTests(backend, { name, backendName: name, isDataSync: true });
  await loadBackend(backend, core);
  const results = await run.execute();

  const verdict = judge(results, exceptions, filter);
  return [describeVerdict(verdict, { name, seconds: results.seconds, verbose }), verdict.passed ? 0 : 1];
}

function ownExceptions(name) {
  const file = fileURLToPath(new URL(`exceptions/${name}.json`, import.meta.url));
  return existsSync(file) ? file : undefined;
}

function help() {
  const header = readFileSync(new URL(import.meta.url), 'utf8').split('*/')[0];
  return `${header.replace(/^\/\*\*\n/, '').replace(/^ \* ?/gm, '')}`.trimEnd() + '\n';
}

/** Worker threads of a backend may keep Node alive; the callback lets everything be written before the exit. */
function finish(text, code) {
  (code === 0 ? process.stdout : process.stderr).write(text, () => process.exit(code));
}
