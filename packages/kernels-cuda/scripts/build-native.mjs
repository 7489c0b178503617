/**
 * Compiles the library of vwn-cuda; see native-build.mjs of @vwn/kernels.
 *
 *   node scripts/build-native.mjs [--verbose]
 *
 *   build/emulated/vwn_cuda.node   kernels compiled by the C++ compiler too, and run on the host (native/emulation)
 */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { addonSource, buildAddon, buildOrSayWhy, commonFlags, filesIn } from '../../kernels/scripts/native-build.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const native = join(root, 'native');
const folders = ['.', 'host', 'device', 'emulation', 'driver'].map((name) => join(native, name));
const [top, host, device, emulation] = folders;
const headers = folders.flatMap((folder) => filesIn(folder, '.h'));
const link = ['-s', '-static-libstdc++', '-static-libgcc'];

await buildOrSayWhy('vwn-cuda (emulated)', join(root, 'build', 'emulated', 'vwn_cuda.node'), (compiler) => {
  const flags = [
    ...commonFlags(compiler, import.meta.url),
    `-I${native}`,
    '-DVWN_ISA=cuda',
    '-O2',
    '-U_FORTIFY_SOURCE',
  ];
  const units = [
    ...[addonSource, ...filesIn(top, '.cc'), ...filesIn(host, '.cc'), ...filesIn(emulation, '.cc')].map((source) => ({
      source,
      flags,
    })),
    ...filesIn(device, '.cu').map((source) => ({ source, flags: [...flags, '-x', 'c++'] })),
  ];
  return buildAddon({ compiler, units, headers, link, addon: join(root, 'build', 'emulated', 'vwn_cuda.node') });
});
