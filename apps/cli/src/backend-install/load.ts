import { prepareTfjsNode } from '@vwn/core';
import { createRequire } from 'node:module';
import { run } from './tools';
import { tensorflowBackendLocation } from './location';

/** Registers the installed backend with the application's tfjs (engine and kernel registry are global). */
export async function loadInstalledTensorflow(): Promise<Record<string, string>> {
  const module = tensorflowBackendLocation();
  if (module === undefined) throw new Error('it is not installed');
  await prepareTfjsNode();
  createRequire(import.meta.url)(module);
  return { package: 'tfjs-node, installed by vwn', device: 'CPU' };
}

const probe = `
require('node:util').isNullOrUndefined ??= (value) => value == null;
const tf = require(process.argv[1]);
const [value] = tf.matMul(tf.tensor2d([[1, 2]]), tf.tensor2d([[3], [4]])).dataSync();
process.exit(value === 11 && tf.getBackend() === 'tensorflow' ? 0 : 1);
`;

/** In a process of its own, since a broken library can end one. @throws BackendError */
export async function loadsAndMultiplies(module: string): Promise<void> {
  await run(process.execPath, ['-e', probe, module], '.', 'run the compiled addon');
}
