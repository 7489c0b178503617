/**
 * What a user gets: every package is packed with `npm pack`, installed into an empty project of its own (its
 * neighbours from their tarballs, the rest from the registry), and used there from JavaScript and from TypeScript.
 */
import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const work = mkdtempSync(join(tmpdir(), 'vwn-packages-'));

/** Smoke programs, a folder of files for each package: `main.mjs` runs, `types.ts` must type-check. */
const consumers = join(root, 'scripts', 'consumers');

try {
  const packed = packAll();
  for (const name of Object.keys(packed).filter((each) => !packed[each].isPlatform)) checkConsumer(name, packed);
} finally {
  rmSync(work, { recursive: true, force: true });
}

/** → { name: { tarball, manifest } } for every publishable package. */
function packAll() {
  const packed = {};
  for (const parent of ['packages', 'apps'])
    for (const folder of readdirSync(join(root, parent))) {
      const cwd = join(root, parent, folder);
      const manifest = JSON.parse(readFileSync(join(cwd, 'package.json'), 'utf8'));
      if (manifest.private) continue;
      const [{ filename }] = JSON.parse(command('npm', ['pack', '--json', '--pack-destination', work], cwd));
      packed[manifest.name] = { tarball: join(work, filename), manifest };
    }
  return { ...packed, ...packPlatforms() };
}

/** The prebuilt libraries for this machine, where they were built. */
function packPlatforms() {
  const packed = {};
  for (const [kernels, library] of [
    ['kernels-cpu', 'vwn_cpu.node'],
    ['kernels-cuda', 'vwn_cuda.node'],
  ]) {
    const cwd = join(root, 'packages', kernels, 'npm', `${process.platform}-${process.arch}`);
    if (!existsSync(cwd) || !existsSync(join(root, 'packages', kernels, 'build', library))) {
      process.stdout.write(`  NOT TESTED: a prebuilt @vwn/${kernels}, for there is none for this machine\n`);
      continue;
    }
    const manifest = JSON.parse(readFileSync(join(cwd, 'package.json'), 'utf8'));
    const [{ filename }] = JSON.parse(command('npm', ['pack', '--json', '--pack-destination', work], cwd));
    packed[manifest.name] = { tarball: join(work, filename), manifest, isPlatform: true };
  }
  return packed;
}

function checkConsumer(name, packed) {
  const started = performance.now();
  const project = join(work, name.replace('/', '-'));
  mkdirSync(project);
  const tarballs = neighbours(name, packed);
  const { peerDependencies = {}, peerDependenciesMeta = {} } = packed[name].manifest;
  const peers = Object.entries(peerDependencies).filter(([peer]) => !peerDependenciesMeta[peer]?.optional);
  const dependencies = {
    '@tensorflow/tfjs-backend-cpu': '~4.22.0',
    ...Object.fromEntries(peers),
    ...Object.fromEntries(tarballs.map((each) => [each, `file:${packed[each].tarball}`])),
  };
  // A neighbour is itself a tarball, so the ranges between packages must lead there and not to the registry.
  const overrides = Object.fromEntries(tarballs.map((each) => [each, `$${each}`]));
  const manifest = { name: 'consumer', private: true, type: 'module', dependencies, overrides };
  writeFileSync(join(project, 'package.json'), JSON.stringify(manifest, null, 2));
  command('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', '--ignore-scripts'], project);
  cpSync(join(consumers, name.replace('@vwn/', '')), project, { recursive: true });
  const isNative = name.startsWith('@vwn/kernels-');
  if (isNative && !tarballs.some((each) => packed[each].isPlatform)) return;
  const PATH = isNative ? withoutCompiler(project) : process.env.PATH;
  command(process.execPath, ['main.mjs'], project, { ...process.env, PATH });
  if (readdirSync(project).includes('types.ts')) checkTypes(project);
  process.stdout.write(`  ${name}: installs and runs alone (${((performance.now() - started) / 1000).toFixed(1)} s)\n`);
}

function neighbours(name, packed, seen = new Set()) {
  seen.add(name);
  const { dependencies, optionalDependencies } = packed[name].manifest;
  for (const dependency of Object.keys({ ...dependencies, ...optionalDependencies }))
    if (packed[dependency] && !seen.has(dependency)) neighbours(dependency, packed, seen);
  return [...seen];
}

function checkTypes(project) {
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const flags = ['--strict', '--noEmit', '--skipLibCheck', '--target', 'es2022', '--module', 'nodenext'];
  command(process.execPath, [tsc, ...flags, 'types.ts'], project);
}

/** A PATH with Node and nothing else. */
function withoutCompiler(project) {
  const bin = join(project, 'bin');
  mkdirSync(bin);
  symlinkSync(process.execPath, join(bin, 'node'));
  return bin;
}

function command(program, args, cwd, env = process.env) {
  try {
    return execFileSync(program, args, { cwd, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  } catch (error) {
    process.stderr.write(`${error.stdout ?? ''}${error.stderr ?? ''}\n`);
    throw new Error(`\`${program} ${args.join(' ')}\` failed in ${cwd}`, { cause: error });
  }
}
