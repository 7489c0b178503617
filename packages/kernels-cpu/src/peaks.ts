import { StorageType } from '@vwn/kernels';
import { loadLibrary } from './load-library';

/** What all threads of this machine reach together. */
export interface Peaks {
  readonly fp32GflopsPerSecond: number;
  /** Absent where the processor has no instructions for bf16. */
  readonly bf16GflopsPerSecond?: number;
  /** Copies between memories larger than the caches; bytes read and bytes written both count. */
  readonly copyGbPerSecond: number;
}

const copiedFloats = 2 ** 25;

/**
 * Measures the processor's peaks with the kernels' own threads and instruction set, `milliseconds` for each of the three.
 * @throws BackendError where the native library cannot be loaded
 */
export function measurePeaks(milliseconds = 150): Peaks {
  const library = loadLibrary();
  const blocks = [3, copiedFloats, copiedFloats].map((floats) => ({ floats, block: library.allocate(4 * floats) }));
  const args = library.arguments;
  args[0] = library.functions.indexOf('measure_peaks');
  args[1] = blocks.length;
  args[2] = 1;
  blocks.forEach(({ floats, block }, i) => {
    if (!block) throw new Error(`no memory for a copy of ${4 * floats} bytes`);
    args.set([block.address, floats, StorageType.f32], 3 + 3 * i);
  });
  args[3 + 3 * blocks.length] = milliseconds;
  library.run();
  const [fp32 = 0, bf16 = 0, copy = 0] = new Float32Array(blocks[0]?.block?.buffer as ArrayBuffer, 0, 3);
  return {
    fp32GflopsPerSecond: fp32,
    ...(bf16 > 0 ? { bf16GflopsPerSecond: bf16 } : {}),
    copyGbPerSecond: copy,
  };
}
