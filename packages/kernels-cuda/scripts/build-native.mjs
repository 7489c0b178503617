/**
 * Compiles the library of vwn-cuda; see native-build.mjs of @vwn/kernels.
 *
 *   node scripts/build-native.mjs [--watched] [--verbose]
 *
 *   build/vwn_cuda.node            for GPUs: kernels by nvcc where it is found, else none; loads anywhere on Linux
 *   build/emulated/vwn_cuda.node   the same kernels by the C++ compiler, run on the host (native/emulation)
 *   build/watched/vwn_cuda.node    with --watched, and alone: as emulated, and each access of a kernel to memory is checked
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  addonSource,
  buildAddon,
  buildOrSayWhy,
  commonFlags,
  filesIn,
  forThisMachine,
} from '../../kernels/scripts/native-build.mjs';
import { compileImages, findNvcc, imagesSource } from './images.mjs';
import { watchedFlags } from './watched-flags.mjs';

// Taken by name only, so a first look goes without it.
if (forThisMachine) process.exit(0);

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const native = join(root, 'native');
const folders = ['.', 'host', 'blas', 'device', 'emulation', 'driver'].map((name) => join(native, name));
const [top, host, blas, device, emulation, driver] = folders;
const headers = folders.flatMap((folder) => filesIn(folder, '.h'));
const link = ['-s', '-static-libstdc++', '-static-libgcc', '-ldl'];
const flagsOf = (compiler) => [
  ...commonFlags(compiler, import.meta.url),
  `-I${native}`,
  '-DVWN_ISA=cuda',
  '-O2',
  // glibc's checked longjmp takes a change of fibres for a broken stack.
  '-U_FORTIFY_SOURCE',
];
const withFlags = (sources, flags) => sources.map((source) => ({ source, flags }));
const shared = [addonSource, ...filesIn(top, '.cc'), ...filesIn(host, '.cc'), ...filesIn(blas, '.cc')];

const build = join(root, 'build');

/** The kernels for the host. Of a watched build, their accesses are calls that native/emulation/watch.cc answers. */
function buildForHost(name, addon, { flags: more = [], ofKernels = [], link: linked = link } = {}) {
  return buildOrSayWhy(name, addon, (compiler) => {
    const flags = [...flagsOf(compiler), ...more];
    const kernelFlags = [...flags, '-x', 'c++', '-Wno-unknown-pragmas', '-DVWN_EMULATED', ...ofKernels];
    const units = [
      ...withFlags([...shared, ...filesIn(emulation, '.cc')], flags),
      ...withFlags(filesIn(device, '.cu'), kernelFlags),
    ];
    return buildAddon({ compiler, units, headers, link: linked, addon, folder: build });
  });
}

if (process.argv.includes('--watched')) {
  await buildForHost('vwn-cuda (watched)', join(build, 'watched', 'vwn_cuda.node'), {
    flags: ['-DVWN_WATCHED', '-g1'],
    ofKernels: watchedFlags,
    link: ['-ldl'],
  });
  process.exit(0);
}
await buildForHost('vwn-cuda (emulated)', join(build, 'emulated', 'vwn_cuda.node'));

const addon = join(build, 'vwn_cuda.node');
if (process.platform === 'linux')
  await buildOrSayWhy('vwn-cuda', addon, async (compiler) => {
    const nvcc = findNvcc();
    const images = nvcc ? await compileImages(nvcc, native, join(build, 'images')) : [];
    const source = join(build, 'images.cc');
    mkdirSync(build, { recursive: true });
    writeFileSync(source, imagesSource(images));
    const units = withFlags([...shared, ...filesIn(driver, '.cc'), source], flagsOf(compiler));
    return buildAddon({ compiler, units, headers, link, addon });
  });
