import type { backend_util, DataType, TensorInfo } from '@tensorflow/tfjs-core';
import { BackendError } from '@vwn/core';
import type { Arena } from './arena';
import type { AllocateOptions, MemoryPool, PoolBlock } from './memory-pool';
import { bytesPerElement, StorageType } from './native-library';

type Values = backend_util.BackendValues;

/**
 * What a tensor's dataId stands for. Values begin where they were made: in JavaScript (from the user, or from a stock
 * kernel), or in a block of the pool (from a native kernel). They move into a block when a native kernel first asks.
 */
export class TensorData {
  refCount = 1;
  /** The same values rounded to bf16, for as long as these stay as they are or change together with it. */
  rounded: TensorData | undefined;
  complexTensorInfos?: { real: TensorInfo; imag: TensorInfo };
  private block: PoolBlock | undefined;
  private view: Values | undefined;
  private storage: StorageType;

  constructor(
    readonly dtype: DataType,
    private readonly pool: MemoryPool,
    values?: Values,
  ) {
    this.view = values;
    this.storage = storageOf(dtype);
  }

  /** A tensor whose values a native kernel is about to write. */
  static uninitialized(
    dtype: DataType,
    pool: MemoryPool,
    elements: number,
    storage: StorageType,
    options: AllocateOptions = {},
  ): TensorData {
    const data = new TensorData(dtype, pool);
    data.storage = storage;
    data.block = pool.allocate(elements * bytesPerElement[storage], options);
    return data;
  }

  get type(): StorageType {
    return this.storage;
  }

  /** Where the values stand, for a native kernel. Copies values of JavaScript's into a block the first time. */
  address(): number {
    return (this.block ?? this.moveIn()).address;
  }

  /** Values for a stock kernel, which must not keep them: float32 or the dtype's own array, on shared memory. */
  get values(): Values | undefined {
    if (this.block) this.pool.noteAccess();
    if (this.view || !this.block) return this.view;
    const { bytes } = this.block;
    const buffer = this.pool.bytesOf(this.block);
    if (this.storage === StorageType.bf16) return widened(new Uint16Array(buffer, 0, bytes / 2));
    const values = arrayOn(buffer, bytes, this.storage);
    if (this.pool.owns(buffer)) this.view = values;
    return values;
  }

  set values(values: Values | undefined) {
    if (this.block) this.pool.noteAccess();
    this.release();
    this.storage = storageOf(this.dtype);
    this.view = values;
  }

  /** Values that stay as they are whatever becomes of the tensor. */
  read(): Values | undefined {
    const values = this.values;
    const isView = this.block && values && !Array.isArray(values) && values.buffer === this.block.buffer;
    return isView ? (values as Float32Array).slice() : values;
  }

  /** The same values as those of another dtype: of float32, or of int32 what is bools here. */
  copiedAs(dtype: DataType): TensorData {
    const values = this.values as Float32Array | Int32Array | Uint8Array;
    return new TensorData(dtype, this.pool, dtype === 'int32' ? Int32Array.from(values) : Float32Array.from(values));
  }

  /** Values that no kernel has made or asked for: still those of JavaScript, and in a capture a constant. */
  get valuesOfJavaScript(): Values | undefined {
    return this.block ? undefined : this.view;
  }

  /** Where the values stand, if they stand in a block. */
  get place(): number | undefined {
    return this.block?.address;
  }

  /** Whether the values stand in a block of this capture. */
  isIn(arena: Arena): boolean {
    return this.block?.arena === arena;
  }

  /** Whether replays of a capture write the values, or may hand out their block. */
  get isOfCapture(): boolean {
    return this.block?.arena?.isOpen ?? false;
  }

  /** Gives new values, as many as before, to a tensor that stays in its block. */
  overwrite(values: ArrayLike<number>): void {
    const block = this.block ?? this.moveIn();
    const bytes = this.pool.staging(block);
    arrayOn(bytes, block.bytes, this.storage).set(values);
    this.pool.store(block, bytes);
    this.releaseRounded();
  }

  release(): void {
    this.releaseRounded();
    if (this.block) this.pool.release(this.block);
    this.block = undefined;
    this.view = undefined;
  }

  releaseRounded(): void {
    this.rounded?.release();
    this.rounded = undefined;
  }

  private moveIn(): PoolBlock {
    const values = asTyped(this.view, this.dtype);
    const block = this.pool.allocate(values.length * bytesPerElement[this.storage], { isConstant: true });
    const bytes = this.pool.staging(block);
    const target = arrayOn(bytes, block.bytes, this.storage);
    target.set(values);
    this.pool.store(block, bytes);
    this.block = block;
    // A view of memory that kernels share stays true; a copy would not.
    this.view = this.pool.owns(bytes) ? target : undefined;
    return block;
  }
}

/** How tensors of a dtype are stored, if not as bf16. */
export function storageOf(dtype: DataType): StorageType {
  if (dtype === 'int32') return StorageType.i32;
  return dtype === 'bool' ? StorageType.u8 : StorageType.f32;
}

function arrayOn(buffer: ArrayBuffer, bytes: number, type: StorageType): Float32Array | Int32Array | Uint8Array {
  if (type === StorageType.i32) return new Int32Array(buffer, 0, bytes / 4);
  return type === StorageType.u8 ? new Uint8Array(buffer, 0, bytes) : new Float32Array(buffer, 0, bytes / 4);
}

/** tfjs also stores plain arrays of numbers and, from `tf.tensor` on a Uint8Array, arrays of another type. */
function asTyped(values: Values | undefined, dtype: DataType): ArrayLike<number> {
  if (values === undefined || dtype === 'string' || dtype === 'complex64')
    throw new BackendError('a native kernel takes numbers', { got: `a tensor of ${dtype}` });
  return values as unknown as ArrayLike<number>;
}

function widened(halves: Uint16Array): Float32Array {
  const bits = new Uint32Array(halves.length);
  for (let i = 0; i < halves.length; i++) bits[i] = (halves[i] as number) << 16;
  return new Float32Array(bits.buffer);
}
