/**
 * Copies the library that this checkout has built into a platform package, before that is packed: for `prepack` there.
 *
 *   node …/stage-prebuilt.mjs vwn_cuda.node     from packages/<kernels>/npm/<platform>, out of packages/<kernels>/build
 */
import { copyFileSync, existsSync } from 'node:fs';
import { basename, join } from 'node:path';

const [library] = process.argv.slice(2);
const platform = basename(process.cwd());
const built = join('..', '..', 'build', library);
const here = `${process.platform}-${process.arch}`;

if (platform !== here) fail(`the library for ${platform} must be built on ${platform}; this is ${here}`);
if (!existsSync(built)) fail('it is not built; run `node scripts/build-native.mjs` where a C++ compiler is');
copyFileSync(built, library);

function fail(message) {
  process.stderr.write(`cannot pack ${library} for ${platform}: ${message}\n`);
  process.exit(1);
}
