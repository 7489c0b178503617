/** Copies the library that this checkout has built into a platform package, before that is packed. */
import { copyFileSync, existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const [platform] = process.argv.slice(2);
const built = join(root, 'build', 'vwn_cpu.node');
const here = `${process.platform}-${process.arch}`;

if (platform !== here) fail(`the library for ${platform} must be built on ${platform}; this is ${here}`);
if (!existsSync(built)) fail(`there is no ${built}; run \`node scripts/build-native.mjs\` where a C++ compiler is`);
copyFileSync(built, join(root, 'npm', platform, 'vwn_cpu.node'));

function fail(message) {
  process.stderr.write(`cannot pack @vwn/kernels-cpu-${platform}: ${message}\n`);
  process.exit(1);
}
