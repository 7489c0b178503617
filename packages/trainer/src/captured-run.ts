import { captureKernels, type CaptureInputs, type KernelCapture } from '@vwn/core';
import { dispose, keep, type Tensor } from '@tensorflow/tfjs-core';

interface Captured<T> {
  readonly capture: KernelCapture;
  readonly feeds: readonly Tensor[];
  readonly result: T;
}

/**
 * Work that is done again and again on tensors of the same shapes: captured the first time, where the backend can, and
 * replayed from then on; captured anew where a replay is not possible.
 */
export class CapturedRun<T> {
  private captured: Captured<T> | undefined;
  /** Why the work was not captured the last time that it could not be replayed. */
  reason: string | undefined;

  /** @param free of the tensors that a result holds, all of them kept */
  constructor(private readonly free: (result: T) => void) {}

  /** Takes `feeds` over. The result is valid until the next run; {@link release} comes before that. */
  run(feeds: readonly Tensor[], inputs: () => Omit<CaptureInputs, 'feeds'>, body: (feeds: readonly Tensor[]) => T): T {
    const replayed = this.replay(feeds);
    if (!replayed) return this.capture(feeds.map(keep), inputs, body);
    dispose([...feeds]);
    return replayed.result;
  }

  /** Frees a result that no replay will write again. */
  release(result: T): void {
    if (result !== this.captured?.result) this.free(result);
  }

  dispose(): void {
    const { captured } = this;
    this.captured = undefined;
    if (!captured) return;
    captured.capture.dispose();
    dispose([...captured.feeds]);
    this.free(captured.result);
  }

  private replay(feeds: readonly Tensor[]): Captured<T> | undefined {
    const { captured } = this;
    const areOfShape = captured?.feeds.every(({ shape }, i) => String(shape) === String(feeds[i]?.shape));
    return areOfShape && captured?.capture.replay(feeds.map((each) => each.dataSync())) ? captured : undefined;
  }

  private capture(
    feeds: readonly Tensor[],
    inputs: () => Omit<CaptureInputs, 'feeds'>,
    body: (feeds: readonly Tensor[]) => T,
  ): T {
    this.dispose();
    try {
      const { result, capture, reason } = captureKernels({ feeds, ...inputs() }, () => body(feeds));
      this.reason = reason;
      if (capture) this.captured = { capture, feeds, result };
      return result;
    } finally {
      if (!this.captured) dispose([...feeds]);
    }
  }
}
