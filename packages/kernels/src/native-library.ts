/** A block of memory for tensors, which lives until it is given back ({@link NativeLibrary.free}) or its buffer is collected. */
export interface NativeBlock {
  /** The memory itself, which kernels and JavaScript share; of a device's memory, empty. */
  readonly buffer: ArrayBuffer;
  readonly address: number;
}

/** Work that is kept, to be done again and again without its calls. */
export interface NativeRecordings {
  /**
   * Keeps what the calls do, instead of doing it. Returns the recording's number.
   * @throws Error with the text of the call that failed, its function's index in `arguments[0]`; −1 where no call did
   */
  record(calls: Float64Array): number;
  /** Does what was kept. False, with nothing done, where it must be recorded anew: the library's own memory has moved. */
  play(recording: number): boolean;
  release(recording: number): void;
}

/** What a native library offers behind `include/vwn_kernels.h`; its loader checks {@link abiVersion}. */
export interface NativeLibrary {
  readonly abiVersion: number;
  /** Names of the functions, by index. */
  readonly functions: readonly string[];
  /** The one kernels run with, e.g. `avx512bf16`. */
  readonly instructionSet: string;
  /** Those this machine and build have, best first. */
  readonly instructionSets: readonly string[];
  /** The next {@link run}: index of the function, buffers, numbers, (address, size, type)…, number…. */
  readonly arguments: Float64Array;
  /** Runs the call in {@link arguments}. @throws Error with the function's own text */
  run(): void;
  /**
   * Runs calls that stand one behind the other, each as in {@link arguments}, up to the first that fails.
   * @throws Error with that one's text, its function's index in `arguments[0]`
   */
  runAll(calls: Float64Array): void;
  /** Absent where work is done when it is asked for. */
  readonly recordings?: NativeRecordings;
  /** A 64-byte aligned block, or null when there is no memory left. */
  allocate(bytes: number): NativeBlock | null;
  /**
   * Gives a block back at once, whose buffer becomes empty: without it, that is done when the buffer is collected.
   * @throws Error where there is no such block
   */
  free(buffer: ArrayBuffer, address: number): void;
  /** Copies from a device's memory all that `into` holds; absent where {@link NativeBlock.buffer} is the memory. */
  read?(address: number, into: Uint8Array): void;
  /** Copies all of `from` into a device's memory; absent where {@link NativeBlock.buffer} is the memory. */
  write?(address: number, from: Uint8Array): void;
  threads(): number;
  setThreads(threads: number): void;
  /** Bytes of scratch memory that the library holds for itself. */
  scratchBytes(): number;
}

/** The `VWN_ABI_VERSION` of the C header that this package was written against. */
export const abiVersion = 4;

/** Types of elements, as in the C header. */
export const StorageType = { f32: 0, bf16: 1, i32: 2, u8: 3 } as const;
export type StorageType = (typeof StorageType)[keyof typeof StorageType];

export const bytesPerElement: Readonly<Record<StorageType, number>> = { 0: 4, 1: 2, 2: 4, 3: 1 };
