/**
 * `vwn backend install tensorflow`. The stock installer of @tensorflow/tfjs-node is pinned to a download of TensorFlow
 * 2.9.1 (CUDA 11.2). Its addon also compiles against the libraries of a current tensorflow-cpu wheel, which pip can get
 * wherever there is a package index; the addon uses only Node-API, so its headers come from npm and it fits any Node.
 */
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { makeUserFolder } from '../files';
import { backendFolder, manifestFile, readManifest, versions } from './location';
import { loadsAndMultiplies } from './load';
import { findTools, run } from './tools';
import { extractWheel, libraries, obtainWheel, requireWheel } from './wheel';

export interface InstallOptions {
  /** A tensorflow or tensorflow-cpu wheel; else pip downloads one. */
  readonly wheel?: string;
  /** Folder of backends; see {@link backendFolder}. */
  readonly dir?: string;
}

export interface InstallResult {
  /** Path of the tfjs-node package. */
  readonly module: string;
  readonly alreadyInstalled: boolean;
}

/**
 * Builds the backend in a temporary folder next to its place and moves it there once it has worked; an installation
 * that was cut short is never used. Does nothing when it is there already.
 * @throws BackendError naming the step, the reason and the remedy; StorageError where the folder cannot be made
 */
export async function installTensorflowBackend(
  { wheel, dir }: InstallOptions = {},
  report: (line: string) => void = () => undefined,
): Promise<InstallResult> {
  const folder = backendFolder(dir);
  const present = readManifest(folder);
  if (present) return { module: present.module, alreadyInstalled: true };
  const tools = findTools();
  makeUserFolder(dirname(folder));
  const work = await mkdtemp(`${folder}.tmp-`);
  try {
    if (wheel !== undefined) requireWheel(wheel);
    report(`1/5 tfjs-node ${versions.tfjsNode} from npm`);
    await npmInstall(work);
    report('2/5 libtensorflow from the tensorflow-cpu wheel (about 280 MB, 0.9 GB unpacked)');
    const wheelFolder = await mkdtemp(join(work, 'wheel-'));
    const source = await obtainWheel(tools.python, wheelFolder, wheel);
    const addon = join(work, 'node_modules', '@tensorflow', 'tfjs-node');
    report('3/5 unpacking');
    await extractWheel(tools.python, source, join(addon, 'deps'));
    await rm(wheelFolder, { recursive: true });
    report('4/5 compiling the addon');
    await compile(tools.compiler, addon, join(work, 'node_modules', 'node-api-headers', 'include'));
    await rm(join(addon, 'deps', 'include'), { recursive: true });
    report('5/5 a first matrix product');
    await loadsAndMultiplies(addon);
    return { module: await settle(work, folder, source), alreadyInstalled: false };
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function npmInstall(work: string): Promise<void> {
  await writeFile(join(work, 'package.json'), JSON.stringify({ private: true, name: 'vwn-tensorflow-backend' }));
  const packages = [`@tensorflow/tfjs-node@${versions.tfjsNode}`, `node-api-headers@${versions.nodeApiHeaders}`];
  const flags = ['--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline'];
  await run('npm', ['install', ...flags, ...packages], work, 'install @tensorflow/tfjs-node from npm');
}

async function compile(compiler: string, addon: string, nodeHeaders: string): Promise<void> {
  const out = join(addon, 'lib', 'napi-v8');
  await mkdir(out, { recursive: true });
  const flags = ['-std=c++17', '-O2', '-shared', '-fPIC', '-DNAPI_VERSION=8', `-I${nodeHeaders}`, '-Ideps/include'];
  const sources = ['binding/tfjs_backend.cc', 'binding/tfjs_binding.cc'];
  const linking = ['-Ldeps/lib', ...libraries.map((name) => `-l:${name}`), '-Wl,-rpath,$ORIGIN/../../deps/lib'];
  await run(
    compiler,
    [...flags, ...sources, ...linking, '-o', join(out, 'tfjs_binding.node')],
    addon,
    'compile tfjs-node’s addon',
  );
}

async function settle(work: string, folder: string, wheel: string): Promise<string> {
  const module = join(folder, 'node_modules', '@tensorflow', 'tfjs-node');
  await writeFile(manifestFile(work), JSON.stringify({ module, tfjsNode: versions.tfjsNode, wheel }, null, 2));
  if (existsSync(folder)) await rm(folder, { recursive: true });
  await rename(work, folder);
  return module;
}
