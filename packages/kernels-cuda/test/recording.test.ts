/** Calls that the emulated vwn-cuda keeps as a graph: what a GPU's driver would do with one, and what it refuses. */
import type { NativeBlock, NativeRecordings } from '@vwn/kernels';
import { describe, expect, it } from 'vitest';
import { cudaLibrary } from './support/both-libraries';

const library = cudaLibrary();
const recordings = library.recordings as NativeRecordings;
const f32 = 0;

function blockOf(values: readonly number[]): NativeBlock {
  const block = library.allocate(4 * values.length) as NativeBlock;
  library.write?.(block.address, new Uint8Array(Float32Array.from(values).buffer));
  return block;
}

function valuesOf(block: NativeBlock, count: number): number[] {
  const values = new Float32Array(count);
  library.read?.(block.address, new Uint8Array(values.buffer));
  return [...values];
}

const call = (name: string, blocks: readonly (readonly [NativeBlock, number])[], numbers: readonly number[]) => [
  library.functions.indexOf(name),
  blocks.length,
  numbers.length,
  ...blocks.flatMap(([{ address }, size]) => [address, size, f32]),
  ...numbers,
];

/** y ← a + b of `count` numbers. */
const add = (a: NativeBlock, b: NativeBlock, y: NativeBlock, count: number) =>
  call(
    'binary',
    [
      [a, count],
      [b, count],
      [y, count],
    ],
    [0, 1, count, 1, 1],
  );
const fill = (block: NativeBlock, count: number, value: number) => call('fill', [[block, count]], [count, value]);

/** A sum of squares takes scratch memory, more of it for more tensors. */
function norm(tensors: number): number[] {
  const grads = Array.from({ length: tensors }, () => [blockOf([3, 4]), 2] as const);
  return call('global_norm', [...grads, [blockOf([0]), 1]], []);
}

describe('a recording', () => {
  it('does nothing when it is made, and all of it each time it is played', () => {
    const [one, sum] = [blockOf([1, 2, 3]), blockOf([0, 0, 0])];
    const recording = recordings.record(Float64Array.from([...add(one, sum, sum, 3), ...add(one, sum, sum, 3)]));
    expect(valuesOf(sum, 3)).toEqual([0, 0, 0]);
    for (const times of [2, 4, 6]) {
      expect(recordings.play(recording)).toBe(true);
      expect(valuesOf(sum, 3)).toEqual([times, 2 * times, 3 * times]);
    }
    library.write?.(one.address, new Uint8Array(Float32Array.from([10, 0, 0]).buffer));
    recordings.play(recording);
    expect(valuesOf(sum, 3), 'with values that were written since').toEqual([26, 12, 18]);
    recordings.release(recording);
  });

  it('is refused a second playing once scratch memory that it may use has moved', () => {
    const small = Float64Array.from(norm(1));
    library.runAll(small);
    const recording = recordings.record(small);
    expect(recordings.play(recording)).toBe(true);
    library.runAll(Float64Array.from(norm(20)));
    expect(recordings.play(recording)).toBe(false);
    recordings.release(recording);
  });

  it('of calls that need more scratch memory than there is yet says so, and changes nothing', () => {
    const large = Float64Array.from(norm(40));
    expect(() => recordings.record(large)).toThrow('scratch memory cannot grow while calls are recorded');
    expect(library.functions[library.arguments[0] as number]).toBe('global_norm');
    library.runAll(large);
    recordings.release(recordings.record(large));
  });

  it('names the function of a call that is wrong, keeps nothing of it, and lets others be recorded', () => {
    const block = blockOf([5, 5]);
    const wrong = call('fill', [[{ ...block, address: 0 }, 2]], [2, 1]);
    expect(() => recordings.record(Float64Array.from([...fill(block, 2, 1), ...wrong]))).toThrow('has no memory');
    expect(library.functions[library.arguments[0] as number]).toBe('fill');
    expect(() => recordings.record([1] as never)).toThrow('a Float64Array of calls is needed');
    expect(library.arguments[0]).toBe(-1);
    expect(valuesOf(block, 2)).toEqual([5, 5]);
    const recording = recordings.record(Float64Array.from(fill(block, 2, 7)));
    recordings.play(recording);
    expect(valuesOf(block, 2)).toEqual([7, 7]);
    recordings.release(recording);
  });

  it('that was released, or never made, is said to be not there', () => {
    const recording = recordings.record(new Float64Array(0));
    recordings.release(recording);
    expect(() => recordings.play(recording)).toThrow(`there is no recording ${recording}`);
    expect(() => recordings.release(-3)).toThrow('there is no recording -3');
    expect(() => recordings.play('x' as never)).toThrow('the number of a recording is needed');
  });
});
