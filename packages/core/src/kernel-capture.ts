import { engine, env, type Tensor, type TensorInfo } from '@tensorflow/tfjs-core';
import { ShapeError } from './errors';

type Values = ArrayLike<number>;

/** Kernels that can be run again without the JavaScript that asked for them. */
export interface KernelCapture {
  /**
   * Runs the kernels again: feeds get these values, state is read as it is now, and results change in place. False, and
   * nothing has run, where it can't be done: a state tensor has moved (`variable.assign`) or has been cloned where it is written, memory was needed elsewhere,
   * precision or backend is another one, or `tf.profile` or debug mode wants to see kernels. Then capture anew.
   * @throws ShapeError when a feed gets another number of values than it has; BackendError when a kernel fails
   */
  replay(feeds: readonly Values[]): boolean;
  /** Lets go of the memory; results stay as they are, and belong to the caller as before. */
  dispose(): void;
}

export interface CaptureInputs {
  /** Tensors whose values {@link KernelCapture.replay} replaces. */
  readonly feeds: readonly Tensor[];
  /** Tensors that change in place between replays, such as parameters under an optimizer of the backend's own. */
  readonly state: readonly Tensor[];
  /**
   * State that the kernels themselves write: a replay must not write what a clone of it holds. Have them `ownMemory`
   * before.
   */
  readonly written?: readonly Tensor[];
}

/** What a backend brings that can capture. */
interface CapturingBackend {
  readonly precision?: string;
  refCount(dataId: object): number;
  capture?(
    inputs: { feeds: readonly TensorInfo[]; state: readonly TensorInfo[] },
    body: () => void,
  ): { capture: BackendCapture } | { reason: string };
}

interface BackendCapture {
  isValid(): boolean;
  replay(feeds: readonly Values[]): void;
  dispose(): void;
}

/** The result of `body`, and its kernels as a capture, or why there is none. */
export type Captured<T> =
  | { readonly result: T; readonly capture: KernelCapture; readonly reason?: never }
  | { readonly result: T; readonly capture?: never; readonly reason: string };

/**
 * Runs `body` and captures its kernels, as a CUDA graph does: all tensors that it reads and that are neither feeds nor
 * state count as constants, as do numbers and shapes. `body` must `tf.keep` the tensors that it returns; they are what a
 * replay writes. There is no capture where the backend has none (all but vwn-cpu and vwn-cuda), or where `body` looks at
 * values (`dataSync`, or a kernel that the backend runs in JavaScript).
 */
export function captureKernels<T>(inputs: CaptureInputs, body: () => T): Captured<T> {
  const backend = engine().backend as unknown as CapturingBackend;
  if (!backend.capture) return { result: body(), reason: `backend ${engine().backendName} cannot capture kernels` };
  if (isObserved()) return { result: body(), reason: 'tf.profile or debug mode is on' };
  let done: { result: T } | undefined;
  const { feeds, written = [] } = inputs;
  const state = [...inputs.state, ...written];
  const places = state.map(({ dataId }) => dataId);
  const captured = backend.capture({ feeds, state }, () => void (done = { result: body() }));
  const { result } = done ?? { result: body() };
  if ('reason' in captured) return { result, reason: captured.reason };
  if (state.some(({ dataId }, i) => dataId !== places[i])) {
    captured.capture.dispose(); // a replay would work on the tensors from before
    return { result, reason: 'a state tensor was assigned meanwhile' };
  }
  return { result, capture: guarded(captured.capture, inputs, backend) };
}

function guarded(capture: BackendCapture, inputs: CaptureInputs, backend: CapturingBackend): KernelCapture {
  const { precision } = backend;
  const { feeds, state, written = [] } = inputs;
  const places = [...feeds, ...state, ...written].map((tensor) => ({ tensor, dataId: tensor.dataId }));
  const isCurrent = () =>
    (engine().backend as unknown) === backend &&
    backend.precision === precision &&
    places.every(({ tensor, dataId }) => tensor.dataId === dataId && !tensor.isDisposed) &&
    written.every(({ dataId }) => backend.refCount(dataId) === 1);
  return {
    replay(values) {
      feeds.forEach((feed, i) => requireSize(feed, values[i]));
      if (isObserved() || !isCurrent() || !capture.isValid()) return false;
      capture.replay(values);
      return true;
    },
    dispose: () => capture.dispose(),
  };
}

function requireSize(feed: Tensor, values: Values | undefined): void {
  if (values?.length !== feed.size)
    throw new ShapeError('a feed of a replay has the wrong number of values', {
      expected: `${feed.size} for [${feed.shape.join(', ')}]`,
      got: String(values?.length ?? 'none'),
    });
}

/** Whether somebody wants to see each kernel run. */
function isObserved(): boolean {
  return engine().state.profiling || env().getBool('DEBUG');
}
