/**
 * Prepares a checkout on a machine that has only Node and npm: brings pnpm (by the version named in package.json),
 * installs the locked dependencies and builds every package. Quick when there is nothing to do.
 *
 *   node scripts/bootstrap.mjs [--for-this-machine]    native code for this machine alone: a third of the time
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const nativeBuild = process.argv.includes('--for-this-machine') ? { VWN_NATIVE_BUILD: 'host' } : {};
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

requireNode(20, 19);
const pnpm = findPnpm(manifest.packageManager);
step('install dependencies', [...pnpm, 'install', '--frozen-lockfile', '--prefer-offline', '--reporter=append-only']);
step('build packages', [...pnpm, 'exec', 'turbo', 'run', 'build', '--output-logs=errors-only']);
const notBuilt = join(root, 'packages', 'kernels-cpu', 'build', 'not-built.txt');
if (existsSync(notBuilt)) process.stdout.write(`  ${readFileSync(notBuilt, 'utf8')}`);

function requireNode(major, minor) {
  const [haveMajor = 0, haveMinor = 0] = process.versions.node.split('.').map(Number);
  if (haveMajor > major || (haveMajor === major && haveMinor >= minor)) return;
  fail(`vwn needs Node ${major}.${minor} or newer, this is ${process.version}. Install one from https://nodejs.org.`);
}

/** The pnpm on the PATH when it has the wanted major version, else the one that npx fetches. */
function findPnpm(packageManager) {
  const version = packageManager.split('@')[1];
  const found = spawnSync('pnpm', ['--version'], { encoding: 'utf8', cwd: root });
  if (found.status === 0 && found.stdout.trim().split('.')[0] === version.split('.')[0]) return ['pnpm'];
  return ['npx', '--yes', `pnpm@${version}`];
}

function step(title, [command, ...args]) {
  const started = performance.now();
  process.stdout.write(`> ${title} …\n`);
  const env = { ...process.env, ...nativeBuild, TURBO_TELEMETRY_DISABLED: '1', CI: process.env.CI ?? '1' };
  const result = spawnSync(command, args, { cwd: root, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  if (result.status !== 0) {
    process.stderr.write(`${result.stdout ?? ''}\n${result.stderr ?? ''}\n`);
    fail(
      `could not ${title}: \`${[command, ...args].join(' ')}\` ${result.error ? result.error.message : `exited with ${result.status}`}.` +
        (existsSync(join(root, 'node_modules')) ? '' : ' Is the npm registry reachable?'),
    );
  }
  process.stdout.write(`  done in ${((performance.now() - started) / 1000).toFixed(1)} s\n`);
}

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}
