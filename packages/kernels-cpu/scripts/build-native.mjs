/**
 * Compiles the native library with the system's C++ compiler: every file of native/isa once for each instruction set,
 * the rest once, into build/vwn_cpu.node; see native-build.mjs of @vwn/kernels.
 *
 *   node scripts/build-native.mjs [--sanitize] [--sets avx2,portable] [--folder DIR] [--verbose]
 *
 * It is built for what the compiler compiles for, which may be another machine than this one; DIR then keeps it apart.
 */
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import {
  addonSource,
  buildAddon,
  buildOrSayWhy,
  commonFlags,
  filesIn,
  forThisMachine,
  macrosOf,
} from '../../kernels/scripts/native-build.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const native = join(root, 'native');
const {
  sanitize,
  sets: named,
  folder = join(root, sanitize ? 'build-sanitized' : 'build'),
} = parseArgs({
  options: {
    sanitize: { type: 'boolean', default: false },
    sets: { type: 'string' },
    folder: { type: 'string' },
    verbose: { type: 'boolean' },
  },
}).values;
const addon = join(resolve(folder), 'vwn_cpu.node');
/** Of x86-64; elsewhere there is `portable` alone. */
const instructionSets = {
  avx512bf16: ['-march=x86-64-v4', '-mavx512bf16', '-mprefer-vector-width=512'],
  avx512: ['-march=x86-64-v4', '-mprefer-vector-width=512'],
  avx2: ['-march=x86-64-v3'],
  portable: [],
};
/** Macros without which a set does not run on a machine; the first set that has all of them is the one it takes. */
const requirements = {
  avx512bf16: ['__AVX512BF16__', '__AVX512BW__', '__AVX512DQ__', '__AVX512VL__', '__AVX512CD__'],
  avx512: ['__AVX512F__', '__AVX512BW__', '__AVX512DQ__', '__AVX512VL__', '__AVX512CD__'],
  avx2: ['__AVX2__', '__FMA__'],
  portable: [],
};

/**
 * AMX is no set of its own here: functions of `avx512bf16` that multiply pairs ask at run time whether to use it, and then the
 * set is called `amx`. Compilers use these flags for nothing else.
 */
const amx = { of: 'avx512bf16', flags: ['-mamx-tile', '-mamx-bf16'], macro: '__AMX_BF16__' };

await buildOrSayWhy('vwn-cpu', addon, (compiler) => {
  const flags = [
    ...commonFlags(compiler, import.meta.url),
    '-ffp-contract=fast',
    '-fno-math-errno',
    '-fno-trapping-math',
    ...(sanitize ? ['-O1', '-g1', '-fsanitize=address,undefined', '-fno-sanitize-recover=undefined'] : ['-O3']),
  ];
  const sets = setsFor(compiler);
  const withAmx = sets.includes(amx.of) && macrosOf(compiler, amx.flags).has(amx.macro);
  const flagsOf = (isa) => [...instructionSets[isa], ...(withAmx && isa === amx.of ? amx.flags : [])];
  const brought = [...sets, ...(withAmx ? ['amx'] : [])].map((isa) => `-DVWN_BRINGS_${isa}`);
  // Of an inline function that several sets share (the standard library's), the linker keeps the first it sees: that must
  // be the one of the oldest processors.
  const oldestFirst = [...sets].reverse();
  const units = [
    ...[addonSource, ...filesIn(native, '.cc')].map((source) => ({ source, flags: [...flags, ...brought] })),
    ...oldestFirst.flatMap((isa) =>
      filesIn(join(native, 'isa'), '.cc').map((source) => ({
        source,
        flags: [...flags, ...flagsOf(isa), `-DVWN_ISA=${isa}`],
        tag: isa,
      })),
    ),
  ];
  const headers = [...filesIn(native, '.h'), ...filesIn(join(native, 'isa'), '.h')];
  const link = sanitize ? ['-fsanitize=address,undefined'] : ['-s', '-static-libstdc++', '-static-libgcc'];
  return buildAddon({ compiler, units, headers, link, addon });
});

/** Those that are named, else all of them; or the one that this machine takes. */
function setsFor(compiler) {
  const isForX64 = macrosOf(compiler, []).has('__x86_64__');
  const known = isForX64 ? Object.keys(instructionSets) : ['portable'];
  const all = known.filter((isa) => named?.split(',').includes(isa) ?? true);
  if (!forThisMachine) return all;
  const here = macrosOf(compiler, isForX64 ? ['-march=native'] : []);
  return [all.find((isa) => requirements[isa].every((macro) => here.has(macro)))];
}
