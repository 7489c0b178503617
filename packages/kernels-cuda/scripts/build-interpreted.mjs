/**
 * Compiles what runs kernels' PTX without a GPU; see test/interpreter.
 *
 *   node scripts/build-interpreted.mjs [--driver]
 *
 *   build/interpreted/libcuda.so           a driver whose GPU reads PTX, for VWN_CUDA_DRIVER; with --driver, that alone
 *   build/interpreted/vwn_cuda-90a.node    the library as it is for GPUs, its images PTX of this architecture
 *   build/interpreted/vwn_cuda-80.node
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { addonSource, buildAddon, commonFlags, filesIn, findCompiler } from '../../kernels/scripts/native-build.mjs';
import { compileImages, findNvcc, imagesSource } from './images.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const native = join(root, 'native');
const interpreter = join(root, 'test', 'interpreter');
const objects = join(root, 'build');
const build = join(objects, 'interpreted');
const compiler = findCompiler();
if (!compiler) giveUp('a C++ compiler (g++ or clang++)');

const folders = ['.', 'host', 'blas', 'driver'].map((name) => join(native, name));
const headers = [...folders, interpreter].flatMap((folder) => filesIn(folder, '.h'));
const flags = [...commonFlags(compiler, import.meta.url), `-I${native}`, '-O2'];
const withFlags = (sources, more) => sources.map((source) => ({ source, flags: [...flags, ...more] }));
mkdirSync(build, { recursive: true });

// Sums must not become products with sums, and those that are need an instruction of the host.
const arithmetic = ['-march=native', '-ffp-contract=off'];
const units = withFlags(filesIn(interpreter, '.cc'), arithmetic);
await buildAddon({ compiler, units, headers, link: [], addon: join(build, 'libcuda.so'), folder: objects });

if (process.argv.includes('--driver')) process.exit(0);
const nvcc = findNvcc();
if (!nvcc) giveUp('nvcc, which compiles the kernels to PTX');
for (const architecture of ['90a', '80']) {
  const images = await compileImages(nvcc, native, join(objects, 'images'), architecture);
  const source = join(build, `images-${architecture}.cc`);
  writeFileSync(source, imagesSource(images));
  const sources = [addonSource, ...folders.flatMap((folder) => filesIn(folder, '.cc')), source];
  const link = ['-s', '-ldl'];
  const addon = join(build, `vwn_cuda-${architecture}.node`);
  await buildAddon({ compiler, units: withFlags(sources, ['-DVWN_ISA=cuda']), headers, link, addon, folder: objects });
}

function giveUp(missing) {
  process.stderr.write(`Building what runs PTX takes ${missing}, which was not found.\n`);
  process.exit(1);
}
