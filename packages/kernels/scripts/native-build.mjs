/**
 * What the kernel packages' builds share: compiling files of C++ into objects that are kept by the hash of what went into
 * them, and linking these into an addon. Where there is no compiler, or one that cannot compile this, a package still
 * builds: its build/not-built.txt says why, and `npm test` and `npm run quickstart` repeat it.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const kernels = join(dirname(fileURLToPath(import.meta.url)), '..');
export const include = join(kernels, 'include');
/** The boundary to JavaScript, and what it asks of a library. */
export const addonSource = join(kernels, 'native', 'addon.cc');
const library = join(kernels, 'native');
const verbose = process.argv.includes('--verbose');

/** The C++ compiler that CXX names, else the system's; undefined where there is none. */
export function findCompiler() {
  for (const command of [process.env.CXX, 'g++', 'c++', 'clang++'].filter(Boolean)) {
    const { status, stdout } = spawnSync(command, ['--version'], { encoding: 'utf8' });
    if (status === 0) return { command, version: stdout.split('\n')[0], isClang: stdout.includes('clang') };
  }
  return undefined;
}

/**
 * Whether only this machine is built for, and only what it runs by default (VWN_NATIVE_BUILD=host): what a first look at
 * the project takes. Anything else builds everything.
 */
export const forThisMachine = process.env.VWN_NATIVE_BUILD === 'host';

/** Macros that the compiler defines with these flags. */
export function macrosOf({ command }, flags) {
  const args = [...flags, '-dM', '-E', '-x', 'c++', '-'];
  const { stdout } = spawnSync(command, args, { encoding: 'utf8', input: '' });
  return new Set((stdout ?? '').split('\n').map((line) => line.split(' ')[1]));
}

/** Flags of every file; `requireFrom` is the build script's own URL, whose package depends on node-api-headers. */
export function commonFlags({ isClang }, requireFrom) {
  const nodeHeaders = createRequire(requireFrom)
    .resolve('node-api-headers')
    .replace(/index\.js$/, 'include');
  // GCC's own AVX-512 headers read registers that they leave undefined on purpose.
  const quiet = isClang ? ['-Wno-psabi'] : ['-Wno-psabi', '-Wno-uninitialized', '-Wno-maybe-uninitialized'];
  return ['-std=c++20', '-fPIC', '-fvisibility=hidden', '-Wall', '-Wextra', ...quiet].concat(
    [include, library, nodeHeaders].map((path) => `-I${path}`),
  );
}

/**
 * Compiles `units` ({ source, flags, tag }) as far as they are not yet there, and links them as `addon`. `headers` are
 * files that any of them may include: a change of one compiles all again. Objects lie in `folder`, or beside the addon.
 */
export async function buildAddon({ compiler, units, headers, link, addon, folder = dirname(addon) }) {
  mkdirSync(folder, { recursive: true });
  const base = hashOf([compiler.version, ...headers, ...filesIn(include, '.h'), ...filesIn(library, '.h')]);
  const all = units.map((unit) => ({ ...unit, object: join(folder, `${objectName(unit, base)}.o`) }));
  const stale = all.filter(({ object }) => !existsSync(object));
  await inParallel(stale, ({ source, flags, object }) => compile(compiler.command, source, flags, object));
  const undefinedSymbols = process.platform === 'darwin' ? ['-undefined', 'dynamic_lookup'] : [];
  const objects = all.map(({ object }) => object);
  const made = unfinished(addon);
  await run(compiler.command, ['-shared', '-pthread', ...link, ...undefinedSymbols, ...objects, '-o', made]);
  renameSync(made, addon);
}

/**
 * Builds with the compiler that is here, or says in build/not-built.txt beside `addon` why it does not, and removes an
 * older addon, which would not fit these sources. `name` is the backend's.
 */
export async function buildOrSayWhy(name, addon, build) {
  mkdirSync(dirname(addon), { recursive: true });
  const notBuilt = join(dirname(addon), 'not-built.txt');
  rmSync(notBuilt, { force: true });
  const giveUp = (reason) => {
    rmSync(addon, { force: true });
    const text = `${name} is not built: ${reason}. vwn runs on another backend.`;
    writeFileSync(notBuilt, `${text}\n`);
    process.stdout.write(`${text}\n`);
  };
  const compiler = findCompiler();
  if (!compiler) return giveUp('no C++ compiler (g++ or clang++) was found');
  await build(compiler).catch((error) => giveUp(`${error.message}; ${compiler.version}`));
}

export function filesIn(folder, extension) {
  return readdirSync(folder)
    .filter((name) => name.endsWith(extension))
    .sort()
    .map((name) => join(folder, name));
}

/** Of texts and of the content of files. */
export function hashOf(parts) {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(existsSync(part) ? readFileSync(part) : part);
  return hash.digest('hex');
}

function objectName({ source, flags, tag }, base) {
  const name = source
    .split(/[\\/]/)
    .at(-1)
    .replace(/\.\w+$/, '');
  return [name, tag, hashOf([source, flags.join(' '), base]).slice(0, 16)].filter(Boolean).join('-');
}

async function compile(cxx, source, flags, object) {
  const made = unfinished(object);
  await run(cxx, [...flags, '-c', source, '-o', made]);
  renameSync(made, object);
}

/** Another process may be making the same file. */
const unfinished = (file) => `${file}.${String(process.pid)}.new`;

export async function inParallel(items, work) {
  const queue = [...items];
  const workers = Array.from({ length: availableParallelism() }, async () => {
    for (let item = queue.shift(); item; item = queue.shift()) await work(item);
  });
  await Promise.all(workers);
}

export function run(command, args) {
  if (verbose) process.stdout.write(`${[command, ...args].join(' ')}\n`);
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'inherit', 'inherit'] });
    child.on('error', reject);
    child.on('close', (code) =>
      code === 0 ? resolve() : reject(new Error(`${command} failed on ${args.at(-3)} (exit ${code})`)),
    );
  });
}
