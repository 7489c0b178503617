/**
 * One function of the C header run by vwn-cpu and by vwn-cuda (emulated unless VWN_CUDA_ADDON names another) on the same
 * operands. What vwn-cpu computes is checked elsewhere, against golden vectors; here it says what every function of
 * vwn-cuda must leave in every buffer.
 */
import type { NativeLibrary } from '@vwn/kernels';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';

export type Storage = 'f32' | 'bf16' | 'i32' | 'u8';

/** A buffer of a call: its values before it, as numbers, and how they are stored. */
export interface Operand {
  readonly storage: Storage;
  readonly values: ArrayLike<number>;
}

const storages: readonly Storage[] = ['f32', 'bf16', 'i32', 'u8'];
const bytesOf = { f32: 4, bf16: 2, i32: 4, u8: 1 } as const;
const require = createRequire(import.meta.url);
const addon = (named: string | undefined, built: string) =>
  require(named ?? fileURLToPath(new URL(`../../../${built}`, import.meta.url))) as NativeLibrary;

let opened: { cpu: NativeLibrary; cuda: NativeLibrary } | undefined;
const libraries = () =>
  (opened ??= {
    cpu: addon(process.env.VWN_CPU_ADDON, 'kernels-cpu/build/vwn_cpu.node'),
    cuda: addon(process.env.VWN_CUDA_ADDON, 'kernels-cuda/build/emulated/vwn_cuda.node'),
  });

/** Operands of random values in [-1, 1), the same for the same seed. */
export function randomOperand(size: number, storage: Storage = 'f32', seed = 1, scale = 1): Operand {
  let state = (seed * 2654435761 + 12345) >>> 0;
  const values = Float32Array.from({ length: size }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return scale * (state / 2 ** 31 - 1);
  });
  return { storage, values };
}

/** A buffer for results: both libraries must write all of it, for it holds NaN before (integers: −1). */
export function result(size: number, storage: Storage = 'f32'): Operand {
  const isFloat = storage === 'f32' || storage === 'bf16';
  return { storage, values: new Array<number>(size).fill(isFloat ? Number.NaN : -1) };
}

/** Runs the function on copies of the operands. Returns every buffer afterwards, as numbers. @throws what it throws */
export function runOn(library: NativeLibrary, name: string, operands: readonly Operand[], numbers: readonly number[]) {
  const index = library.functions.indexOf(name);
  const blocks = operands.map((operand) => {
    const bytes = encoded(operand);
    const block = library.allocate(Math.max(1, bytes.length));
    if (!block) throw new Error('no memory for a test');
    if (library.write) library.write(block.address, bytes);
    else new Uint8Array(block.buffer).set(bytes);
    return { block, bytes };
  });
  const header = operands.flatMap(({ storage, values }, i) => [
    blocks[i]?.block.address ?? 0,
    values.length,
    storages.indexOf(storage),
  ]);
  library.arguments.set([index, operands.length, numbers.length, ...header, ...numbers]);
  library.run();
  return blocks.map(({ block, bytes }, i) => {
    const after = new Uint8Array(bytes.length);
    if (library.read) library.read(block.address, after);
    else after.set(new Uint8Array(block.buffer, 0, bytes.length));
    return decoded(after, operands[i]?.storage ?? 'f32');
  });
}

/** The emulated library itself. */
export const cudaLibrary = (): NativeLibrary => libraries().cuda;

/** What the emulated library says that it runs on. */
export const cudaDevice = (): string => libraries().cuda.instructionSet;

export const runOnCuda = (name: string, operands: readonly Operand[], numbers: readonly number[]) =>
  runOn(libraries().cuda, name, operands, numbers);

/**
 * Both libraries must leave the same in every buffer: |difference| ≤ tolerance · (largest |value| of the buffer), NaN
 * and infinities where the other has them. The default tolerance is 2e-5, or 1e-2 where a buffer is bf16.
 */
export function expectSame(
  name: string,
  operands: readonly Operand[],
  numbers: readonly number[],
  tolerance = operands.some(({ storage }) => storage === 'bf16') ? 1e-2 : 2e-5,
): void {
  const expected = runOn(libraries().cpu, name, operands, numbers);
  const actual = runOn(libraries().cuda, name, operands, numbers);
  expected.forEach((want, i) => expectClose(`${name}: buffer ${i}`, actual[i] as Float64Array, want, tolerance));
}

/** The operand with only numbers that bf16 has. With others, not every instruction set of vwn-cpu rounds where `halves` ask. */
export function asHalves(operand: Operand): Operand {
  if (operand.storage !== 'f32') return operand;
  return { storage: 'f32', values: decoded(encoded({ ...operand, storage: 'bf16' }), 'bf16') };
}

/** vwn-cuda must leave in the last buffer, the result, what vwn-cpu makes of operands that are rounded to bf16 already. */
export function expectRounding(name: string, operands: readonly Operand[], numbers: readonly number[]): void {
  const expected = runOn(libraries().cpu, name, operands.map(asHalves), numbers);
  const actual = runOnCuda(name, operands, numbers);
  expectClose(`${name} of rounded operands`, actual.at(-1) as Float64Array, expected.at(-1) as Float64Array, 1e-5);
}

function expectClose(what: string, got: Float64Array, want: Float64Array, tolerance: number): void {
  const { share, at } = worstDifference(got, want);
  expect(share, `${what}, element ${at}: ${got[at]}, not ${want[at]}`).toBeLessThanOrEqual(tolerance);
}

function worstDifference(got: Float64Array, want: Float64Array): { share: number; at: number } {
  const scale = want.reduce((most, value) => (Number.isFinite(value) ? Math.max(most, Math.abs(value)) : most), 1e-30);
  const worst = { share: 0, at: 0 };
  want.forEach((value, i) => {
    const other = got[i] as number;
    const share = Object.is(other, value) || other === value ? 0 : Math.abs(other - value) / scale;
    if (!(share <= worst.share)) Object.assign(worst, { share: Number.isNaN(share) ? Infinity : share, at: i });
  });
  return worst;
}

function encoded({ storage, values }: Operand): Uint8Array {
  const bytes = new Uint8Array(values.length * bytesOf[storage]);
  if (storage === 'f32') new Float32Array(bytes.buffer).set(values);
  else if (storage === 'i32') new Int32Array(bytes.buffer).set(values);
  else if (storage === 'u8') bytes.set(values);
  else {
    const bits = new Uint32Array(Float32Array.from(values).buffer);
    new Uint16Array(bytes.buffer).set(
      bits.map((each) => (isNaNBits(each) ? 0x7fc0 : (each + 0x7fff + ((each >>> 16) & 1)) >>> 16)),
    );
  }
  return bytes;
}

const isNaNBits = (bits: number) => (bits & 0x7fffffff) > 0x7f800000;

function decoded(bytes: Uint8Array, storage: Storage): Float64Array {
  if (storage === 'f32') return Float64Array.from(new Float32Array(bytes.buffer));
  if (storage === 'i32') return Float64Array.from(new Int32Array(bytes.buffer));
  if (storage === 'u8') return Float64Array.from(bytes);
  const bits = Uint32Array.from(new Uint16Array(bytes.buffer), (half) => half << 16);
  return Float64Array.from(new Float32Array(bits.buffer));
}
