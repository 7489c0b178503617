/**
 * Everything that a machine with a GPU needs, and no more than its driver: Node, programs that are bundled with all they
 * import, the library with its kernels, and run.sh, in one archive of less than 64 MiB.
 *
 *   npx --yes pnpm@10 run build && node bench/gpu/bundle.mjs     here, with nvcc
 *   tar -xJf vwn-gpu.tar.xz && vwn-gpu/run.sh RESULTS            there
 *
 *   --out FILE     default bench/gpu/vwn-gpu.tar.xz
 *   --folder DIR   the folder itself, and no archive
 */
import { build } from 'esbuild';
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, cpSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { describeCommit } from '../support/machine.mjs';
import { bundleTests, standalone } from './tests.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '..', '..');
const largest = 64 * 2 ** 20;
const { values } = parseArgs({
  options: { out: { type: 'string', default: join(here, 'vwn-gpu.tar.xz') }, folder: { type: 'string' } },
});

if (values.folder) await fill(resolve(values.folder));
else await archive(resolve(values.out));

async function archive(file) {
  const work = mkdtempSync(join(tmpdir(), 'vwn-gpu-'));
  try {
    await fill(join(work, 'vwn-gpu'));
    execFileSync('tar', ['-cJf', file, '-C', work, 'vwn-gpu']);
  } finally {
    rmSync(work, { recursive: true });
  }
  const { size } = statSync(file);
  process.stdout.write(`${file}: ${(size / 2 ** 20).toFixed(1)} MiB\n`);
  if (size > largest) throw new Error(`the bundle is larger than ${largest / 2 ** 20} MiB`);
}

async function fill(folder) {
  mkdirSync(folder, { recursive: true });
  await bundlePrograms(folder);
  await bundleTests(root, join(folder, 'tests'));
  copyFileSync(process.execPath, join(folder, 'node'));
  for (const name of ['cpu', 'cuda'])
    copyFileSync(
      join(root, 'packages', `kernels-${name}`, 'build', `vwn_${name}.node`),
      join(folder, `vwn_${name}.node`),
    );
  copyFileSync(join(here, '..', 'support', 'torch_step_server.py'), join(folder, 'torch_step_server.py'));
  for (const name of ['run.sh', 'torch_kernels.py', 'cublaslt-peer.cc'])
    copyFileSync(join(here, name), join(folder, name));
  cpSync(join(root, 'apps', 'cli', 'assets'), join(folder, 'assets'), { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{ "name": "vwn-gpu", "private": true }\n');
  for (const program of ['node', 'run.sh']) chmodSync(join(folder, program), 0o755);
  writeFileSync(join(folder, 'commit.txt'), `${describeCommit(root)}\n`);
}

/** Packages are found from apps/cli, which sees them all; those that a machine need not have stay imports. */
async function bundlePrograms(folder) {
  const fromCli = createRequire(join(root, 'apps', 'cli', 'package.json'));
  await build({
    ...standalone,
    entryPoints: ['gpu/check', 'gpu/vwn', 'gpu/training', 'gpu/kernels', 'support/step-server'].map((name) =>
      join(here, '..', `${name}.mjs`),
    ),
    outdir: folder,
    entryNames: '[name]',
    plugins: [
      {
        name: 'packages of this checkout',
        setup: ({ onResolve }) => {
          onResolve({ filter: /^@(vwn|tensorflow)\// }, ({ path, importer }) =>
            dirname(importer) === here ? { path: resolvePackage(fromCli, path) } : undefined,
          );
          onResolve({ filter: /\/packages\.mjs$/ }, () => ({ path: join(here, 'linked-packages.mjs') }));
        },
      },
    ],
  });
}

function resolvePackage(fromCli, path) {
  if (path === '@vwn/kernels-cuda') return join(root, 'packages', 'kernels-cuda', 'dist', 'index.js');
  return fromCli.resolve(path);
}
