import { MathBackendCPU } from '@tensorflow/tfjs-backend-cpu';
import { util, Variable, type backend_util, type DataType, type TensorInfo } from '@tensorflow/tfjs-core';
import { BackendError, type Precision } from '@vwn/core';
import { KernelRecorder, type NativeCapture } from './native-capture';
import { MemoryPool } from './memory-pool';
import { StorageType, type NativeLibrary } from './native-library';
import { kernelFailed } from './native-text';
import { storageOf, TensorData } from './tensor-data';
import { OwnDataId, TensorMap } from './tensor-map';

/** Anything with a dataId and a shape: a tensor, or what a kernel makes. */
export interface Operand extends TensorInfo {
  /** What is taken in the place of what the dataId stands for. */
  readonly standIn?: TensorData;
}

export interface NativeBackendOptions {
  /**
   * Under bf16, a variable that products read keeps a rounded copy beside it, which AdamW writes along with it: worth its
   * memory where rounding all weights anew in each pass takes a share of the step.
   */
  readonly keepsRounded?: boolean;
}

/**
 * A TensorFlow.js backend over a native library. It extends tfjs's own CPU backend, so that every kernel which has no
 * native form runs as the stock JavaScript one, on the same memory.
 */
export class NativeBackend extends MathBackendCPU {
  /** How activations and their gradients are stored; see {@link setPrecision} of @vwn/core. */
  precision: Precision = 'fp32';
  readonly pool: MemoryPool;
  private readonly indices: ReadonlyMap<string, number>;
  private capturing: KernelRecorder | undefined;
  /** Of the kernel that is running: its results, and the converted copies of its operands. */
  private scope: { readonly outputs: TensorInfo[]; readonly copies: TensorInfo[] } | undefined;

  private readonly keepsRounded: boolean;

  constructor(
    readonly library: NativeLibrary,
    { keepsRounded = false }: NativeBackendOptions = {},
  ) {
    super();
    this.keepsRounded = keepsRounded;
    this.pool = new MemoryPool(library);
    this.indices = new Map(library.functions.map((name, i) => [name, i]));
    // The field is MathBackendCPU's; ours holds TensorData, which has all that its kernels use.
    this.data = new TensorMap(this) as unknown as MathBackendCPU['data'];
  }

  override write(values: backend_util.BackendValues, _shape: number[], dtype: DataType): object {
    const dataId = new OwnDataId(this);
    this.store(dataId, values, dtype);
    return dataId;
  }

  override move(
    dataId: object,
    values: backend_util.BackendValues,
    _shape: number[],
    dtype: DataType,
    refCount: number,
  ): void {
    this.store(dataId, values, dtype).refCount = refCount;
  }

  override readSync(dataId: object): backend_util.BackendValues {
    const data = this.dataOf(dataId);
    if (data.dtype === 'complex64') return super.readSync(dataId);
    return util.convertBackendValuesAndArrayBuffer(data.read() as backend_util.BackendValues, data.dtype);
  }

  override disposeData(dataId: object, force = false): boolean {
    const data = this.data.has(dataId) ? this.dataOf(dataId) : undefined;
    const gone = super.disposeData(dataId, force);
    if (data && gone) data.release();
    return gone;
  }

  /** @throws BackendError for another precision than fp32 and bf16 */
  setPrecision(precision: Precision): void {
    if (precision !== 'fp32' && precision !== 'bf16')
      throw new BackendError('there is no such precision', { expected: 'fp32 or bf16', got: String(precision) });
    this.precision = precision;
  }

  override memory() {
    const { bytesInUse, highWaterBytes, reservedBytes } = this.pool.statistics();
    return {
      unreliable: false,
      reasons: [],
      numBytesInDevice: bytesInUse,
      numBytesHighWater: highWaterBytes,
      numBytesReserved: reservedBytes + this.library.scratchBytes(),
    };
  }

  /** A tensor for a native kernel to write: float32 unless said otherwise. */
  output(shape: readonly number[], storage: StorageType = StorageType.f32): TensorInfo {
    const dtype = storage === StorageType.i32 ? 'int32' : storage === StorageType.u8 ? 'bool' : 'float32';
    const dataId = new OwnDataId(this);
    const data = TensorData.uninitialized(dtype, this.pool, util.sizeFromShape([...shape]), storage);
    this.data.set(dataId, data as never);
    const output: TensorInfo = { dataId, shape: [...shape], dtype };
    this.scope?.outputs.push(output);
    return output;
  }

  /** The same tensor once more, as a kernel's result: on the same memory, which lives as long as one of both. */
  shared({ dataId, shape, dtype }: TensorInfo): TensorInfo {
    this.incRef(dataId);
    return { dataId, shape, dtype };
  }

  /** Runs one kernel. Copies of its operands are free behind it; where it throws, so are its results. */
  runKernel<R>(kernel: () => R): R {
    const outer = this.scope;
    const scope = { outputs: [] as TensorInfo[], copies: [] as TensorInfo[] };
    this.scope = scope;
    try {
      return kernel();
    } catch (error) {
      this.free(scope.outputs);
      throw error;
    } finally {
      this.free(scope.copies);
      this.scope = outer;
    }
  }

  /** How activations are stored under the current precision. */
  get activationType(): StorageType {
    return this.precision === 'bf16' ? StorageType.bf16 : StorageType.f32;
  }

  /** How a native function sees the operand. */
  typeOf({ dataId, dtype }: Operand): StorageType {
    const isHalves = dtype === 'float32' && this.dataOf(dataId).type === StorageType.bf16;
    return isHalves ? StorageType.bf16 : storageOf(dtype);
  }

  dataOf(dataId: object): TensorData {
    return this.data.get(dataId) as unknown as TensorData;
  }

  has(name: string): boolean {
    return this.indices.has(name);
  }

  /** Runs a native function. @throws BackendError with the function's name and its own text */
  call(name: string, operands: readonly Operand[], numbers: readonly number[]): void {
    const index = this.indices.get(name);
    if (index === undefined) throw new BackendError(`the native library has no function ${name}`);
    const args = this.library.arguments;
    const needed = 3 + 3 * operands.length + numbers.length;
    if (needed > args.length) throw tooManyOperands(name, operands.length, numbers.length, args.length);
    const retyped: TensorData[] = [];
    try {
      const at = this.writeOperands(operands, args, retyped);
      args[0] = index;
      args[1] = operands.length;
      args[2] = numbers.length;
      numbers.forEach((each, i) => (args[at + i] = each));
      this.runWithRoom();
      this.capturing?.add(args.subarray(0, needed));
    } catch (error) {
      throw kernelFailed(name, error);
    } finally {
      for (const copy of retyped) copy.release();
    }
  }

  /**
   * What the pool keeps may be the room that a kernel lacks for its scratch memory. One that lacks it has changed none of its
   * inputs (docs/add-a-kernel.md): run again, it writes its results from the start.
   */
  private runWithRoom(): void {
    try {
      this.library.run();
    } catch (error) {
      const needsRoom = error instanceof Error && error.message.startsWith('out of memory');
      if (!needsRoom || !this.pool.trim()) throw error;
      this.library.run();
    }
  }

  /** Address, size and type of every operand, from index 3 on. Returns the index behind them. */
  private writeOperands(operands: readonly Operand[], args: Float64Array, copies: TensorData[]): number {
    let at = 3;
    for (const operand of operands) {
      const data = operand.standIn ?? this.asItsOwnType(operand, copies);
      this.capturing?.uses(data);
      args[at++] = data.address();
      args[at++] = sizeOf(operand.shape);
      args[at++] = data.type;
    }
    return at;
  }

  /** tfjs's cast from integers or bools shares their data: such a tensor gets a copy in its own type for the call. */
  private asItsOwnType(operand: Operand, copies: TensorData[]): TensorData {
    const data = this.dataOf(operand.dataId);
    if (data.type === this.typeOf(operand)) return data;
    const copy = data.copiedAs(operand.dtype);
    copies.push(copy);
    return copy;
  }

  /** Gives a tensor that kernels are to write in place float32 of its own, where it is stored as anything else. */
  storeAsFloats({ dataId }: Operand): void {
    const data = this.dataOf(dataId);
    if (data.type === StorageType.f32) return;
    const floats = data.copiedAs('float32');
    floats.refCount = data.refCount;
    this.data.set(dataId, floats as never);
    data.release();
  }

  /** The tensor as `storage`: itself, or a converted copy, which lives as long as the kernel that asks for it. */
  stored(operand: Operand, storage: StorageType): Operand {
    if (this.typeOf(operand) === storage) return operand;
    const copy = this.output(operand.shape, storage);
    this.scope?.copies.push(copy);
    this.call('convert', [operand, copy], [sizeOf(operand.shape)]);
    return copy;
  }

  /**
   * A weight as products in bf16 are to read it: a variable's copy that is kept rounded (`keepsRounded`), else itself. A
   * capture finds the copy there: its replays need not make it. What replays write other than by AdamW has none.
   */
  rounded(weight: Operand): Operand {
    if (!this.keepsRounded || this.precision !== 'bf16') return weight;
    const data = this.dataOf(weight.dataId);
    const isKept = data.rounded !== undefined || weight instanceof Variable;
    if (!isKept || data.type !== StorageType.f32 || data.isOfCapture || this.capturing?.feeds(data)) return weight;
    data.rounded ??= this.unrecorded(() => this.roundedCopy(weight));
    return standingIn(weight, data.rounded);
  }

  /**
   * For AdamW, which is to write the copy that {@link rounded} has made, if it has; in fp32 nobody reads it, and it goes.
   * The capture under way is valid for as long as there is this copy, or none.
   */
  roundedToWrite(parameter: Operand): Operand | undefined {
    const data = this.dataOf(parameter.dataId);
    if (this.precision !== 'bf16') data.releaseRounded();
    this.capturing?.writes(data);
    return data.rounded && standingIn(parameter, data.rounded);
  }

  private roundedCopy(weight: Operand): TensorData {
    const size = sizeOf(weight.shape);
    const copy = TensorData.uninitialized('float32', this.pool, size, StorageType.bf16, { isOutside: true });
    try {
      this.call('convert', [weight, standingIn(weight, copy)], [size]);
      return copy;
    } catch (error) {
      copy.release();
      throw error;
    }
  }

  /** Runs a kernel that is no part of the capture under way. */
  private unrecorded<R>(kernel: () => R): R {
    const { capturing } = this;
    this.capturing = undefined;
    try {
      return kernel();
    } finally {
      this.capturing = capturing;
    }
  }

  /**
   * Runs `body`, whose kernels can then be run again without it; see `captureKernels` of @vwn/core. Feeds and state are
   * moved into blocks before, so that no kernel takes their values of now for constants.
   */
  capture(
    { feeds, state }: { feeds: readonly Operand[]; state: readonly Operand[] },
    body: () => void,
  ): { capture: NativeCapture } | { reason: string } {
    if (this.capturing) return { reason: 'another capture is under way' };
    const fed = feeds.map(({ dataId }) => this.dataOf(dataId));
    if (fed.some(({ type }) => type === StorageType.bf16)) return { reason: 'a tensor that is fed is stored as bf16' };
    for (const data of [...fed, ...state.map(({ dataId }) => this.dataOf(dataId))]) data.address();
    const capturing = new KernelRecorder(this.pool, fed);
    this.capturing = capturing;
    try {
      body();
    } catch (error) {
      capturing.abandon();
      throw error;
    } finally {
      this.capturing = undefined;
    }
    return capturing.finish(this.library);
  }

  private free(tensors: readonly TensorInfo[]): void {
    for (const each of tensors) if (this.data.has(each.dataId)) this.disposeIntermediateTensorInfo(each);
  }

  /** Facts for people; see `backendReport` of @vwn/core. */
  describe(): Record<string, string> {
    return { instructions: this.library.instructionSet, threads: String(this.library.threads()) };
  }

  private store(dataId: object, values: backend_util.BackendValues, dtype: DataType): TensorData {
    // A view of another tensor's block (a stock slice, say) would change when that tensor is gone.
    const isView = values && !Array.isArray(values) && this.pool.owns(values.buffer);
    const data = new TensorData(dtype, this.pool, isView ? (values as Float32Array).slice() : values);
    this.data.set(dataId, data as never);
    return data;
  }
}

function standingIn({ dataId, shape, dtype }: Operand, standIn: TensorData): Operand {
  return { dataId, shape, dtype, standIn };
}

function tooManyOperands(name: string, operands: number, numbers: number, room: number): BackendError {
  return new BackendError(`${name}: ${operands} operands are more than a call takes`, {
    expected: `at most ${Math.floor((room - 3 - numbers) / 3)}`,
    got: String(operands),
    hint: 'Give it fewer tensors at once, such as half of the groups and their rows, and concatenate the results',
  });
}

export function sizeOf(shape: readonly number[]): number {
  let size = 1;
  for (const each of shape) size *= each;
  return size;
}
