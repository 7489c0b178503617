/**
 * Compiles the native library with the system's C++ compiler: every file of native/isa once for each instruction set,
 * the rest once, into build/vwn_cpu.node. Objects are kept by the hash of what went into them. Where there is no
 * compiler, or one that cannot compile this, the package still builds: build/not-built.txt says why, `npm test` and
 * `npm run quickstart` repeat it, and vwn falls back to wasm.
 *
 *   node scripts/build-native.mjs [--sanitize] [--verbose]
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const native = join(root, 'native');
const sanitize = process.argv.includes('--sanitize');
const build = join(root, sanitize ? 'build-sanitized' : 'build');
const addon = join(build, 'vwn_cpu.node');
/** Says why there is no addon, for those who run this script. */
const notBuilt = join(build, 'not-built.txt');

const includes = [
  join(root, '..', 'kernels', 'include'),
  createRequire(import.meta.url)
    .resolve('node-api-headers')
    .replace(/index\.js$/, 'include'),
];
const compiler = findCompiler();
// GCC's own AVX-512 headers read registers that they leave undefined on purpose.
const quiet = compiler?.isClang ? ['-Wno-psabi'] : ['-Wno-psabi', '-Wno-uninitialized', '-Wno-maybe-uninitialized'];
const common = [
  '-std=c++20',
  '-fPIC',
  '-fvisibility=hidden',
  '-Wall',
  '-Wextra',
  ...quiet,
  '-ffp-contract=fast',
  '-fno-math-errno',
  '-fno-trapping-math',
  ...(sanitize ? ['-O1', '-g', '-fsanitize=address,undefined', '-fno-sanitize-recover=undefined'] : ['-O3']),
  ...includes.map((path) => `-I${path}`),
];
const instructionSets =
  process.arch === 'x64'
    ? {
        avx512bf16: ['-march=x86-64-v4', '-mavx512bf16', '-mprefer-vector-width=512'],
        avx512: ['-march=x86-64-v4', '-mprefer-vector-width=512'],
        avx2: ['-march=x86-64-v3'],
        portable: [],
      }
    : { portable: [] };

mkdirSync(build, { recursive: true });
rmSync(notBuilt, { force: true });
if (!compiler) giveUp('no C++ compiler (g++ or clang++) was found');
else await buildAddon(compiler).catch((error) => giveUp(`${error.message}; ${compiler.version}`));

/** An older addon would not fit these sources: none is better. */
function giveUp(reason) {
  rmSync(addon, { force: true });
  const text = `vwn-cpu is not built: ${reason}. vwn runs on another backend.`;
  writeFileSync(notBuilt, `${text}\n`);
  process.stdout.write(`${text}\n`);
}

function findCompiler() {
  for (const command of [process.env.CXX, 'g++', 'c++', 'clang++'].filter(Boolean)) {
    const { status, stdout } = spawnSync(command, ['--version'], { encoding: 'utf8' });
    if (status === 0) return { command, version: stdout.split('\n')[0], isClang: stdout.includes('clang') };
  }
  return undefined;
}

async function buildAddon({ command: cxx, version }) {
  const headers = hashOf([
    version,
    ...filesIn(native, '.h'),
    ...filesIn(join(native, 'isa'), '.h'),
    join(includes[0], 'vwn_kernels.h'),
  ]);
  const units = [
    ...filesIn(native, '.cc').map((source) => ({ source, flags: common })),
    ...Object.entries(instructionSets).flatMap(([isa, flags]) =>
      filesIn(join(native, 'isa'), '.cc').map((source) => ({
        source,
        flags: [...common, ...flags, `-DVWN_ISA=${isa}`],
      })),
    ),
  ].map((unit) => ({ ...unit, object: join(build, `${objectName(unit, headers)}.o`) }));
  const stale = units.filter(({ object }) => !existsSync(object));
  await inParallel(stale, ({ source, flags, object }) => compile(cxx, source, flags, object));
  const link = [
    '-shared',
    '-pthread',
    ...(sanitize ? ['-fsanitize=address,undefined'] : ['-s', '-static-libstdc++', '-static-libgcc']),
  ];
  const undefinedSymbols = process.platform === 'darwin' ? ['-undefined', 'dynamic_lookup'] : [];
  await run(cxx, [...link, ...undefinedSymbols, ...units.map(({ object }) => object), '-o', `${addon}.new`]);
  renameSync(`${addon}.new`, addon);
}

function filesIn(folder, extension) {
  return readdirSync(folder)
    .filter((name) => name.endsWith(extension))
    .sort()
    .map((name) => join(folder, name));
}

/** Of texts and of the content of files. */
function hashOf(parts) {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(existsSync(part) ? readFileSync(part) : part);
  return hash.digest('hex');
}

function objectName({ source, flags }, headers) {
  const isa = flags.find((flag) => flag.startsWith('-DVWN_ISA='))?.slice(10);
  const name = source.split(/[\\/]/).at(-1).replace(/\.cc$/, '');
  return [name, isa, hashOf([source, flags.join(' '), headers]).slice(0, 16)].filter(Boolean).join('-');
}

async function compile(cxx, source, flags, object) {
  await run(cxx, [...flags, '-c', source, '-o', `${object}.new`]);
  renameSync(`${object}.new`, object);
}

async function inParallel(items, work) {
  const queue = [...items];
  const workers = Array.from({ length: availableParallelism() }, async () => {
    for (let item = queue.shift(); item; item = queue.shift()) await work(item);
  });
  await Promise.all(workers);
}

function run(command, args) {
  if (process.argv.includes('--verbose')) process.stdout.write(`${[command, ...args].join(' ')}\n`);
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'inherit', 'inherit'] });
    child.on('error', reject);
    child.on('close', (code) =>
      code === 0 ? resolve() : reject(new Error(`${command} failed on ${args.at(-3)} (exit ${code})`)),
    );
  });
}
