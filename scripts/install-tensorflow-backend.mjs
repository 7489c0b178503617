/**
 * For tests: builds the tensorflow backend into .cache/ of this checkout and prints the module to load as the last line
 * (VWN_TENSORFLOW_MODULE). Exit code 3: it cannot be had here, with the reason on stderr.
 */
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const dir = process.env.VWN_BACKEND_DIR || join(root, '.cache', 'backends');
const vwn = join(root, 'apps', 'cli', 'bin', 'vwn.js');
const result = spawnSync(process.execPath, [vwn, 'backend', 'install', 'tensorflow', '--dir', dir, '--json'], {
  encoding: 'utf8',
  stdio: ['ignore', 'pipe', 'inherit'],
});
if (result.status !== 0) process.exit(result.status === 1 ? 3 : (result.status ?? 1));
process.stdout.write(`${JSON.parse(result.stdout).module}\n`);
