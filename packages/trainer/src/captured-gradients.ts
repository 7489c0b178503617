import { captureKernels, type KernelCapture } from '@vwn/core';
import { idsTensor, type LanguageModel } from '@vwn/layers';
import { dispose, keep, type Tensor } from '@tensorflow/tfjs-core';
import { readPasses, runPasses, type Gradients, type Passes } from './gradients';

interface CapturedPasses {
  readonly capture: KernelCapture;
  readonly ids: Tensor;
  readonly passes: Passes;
}

/**
 * Gradients of one model, batch after batch. Where the backend can capture kernels, the passes of one batch are captured
 * and replayed for every further one of its shape, without the JavaScript in between.
 */
export class CapturedGradients {
  private captured: CapturedPasses | undefined;
  /** Why the last passes were not captured. */
  reason: string | undefined;

  constructor(private readonly model: LanguageModel) {}

  /** Valid until the next batch. @throws ShapeError for ids out of the vocabulary or rows of different lengths */
  of(batch: readonly Int32Array[]): Gradients {
    const given = idsTensor(batch, this.model.config.vocab_size);
    const replayed = this.replay(given);
    if (replayed) given.dispose();
    const passes = replayed ?? this.capture(keep(given));
    return { ...readPasses(passes), release: () => this.release(passes) };
  }

  dispose(): void {
    const { captured } = this;
    this.captured = undefined;
    if (!captured) return;
    captured.capture.dispose();
    captured.ids.dispose();
    this.release(captured.passes);
  }

  private replay(given: Tensor): Passes | undefined {
    if (!this.captured) return undefined;
    const { capture, ids, passes } = this.captured;
    const isSameShape = String(ids.shape) === String(given.shape);
    return isSameShape && capture.replay([given.dataSync<'int32'>()]) ? passes : undefined;
  }

  private capture(ids: Tensor): Passes {
    this.dispose();
    const state = this.model.trainableVariables().map(([, variable]) => variable);
    try {
      const { result, capture, reason } = captureKernels({ feeds: [ids], state }, () => runPasses(this.model, ids));
      this.reason = reason;
      if (capture) this.captured = { capture, ids, passes: result };
      return result;
    } finally {
      if (!this.captured) ids.dispose();
    }
  }

  /** Frees what no replay will write again. */
  private release(passes: Passes): void {
    if (passes === this.captured?.passes) return;
    const { losses, expertShares, grads } = passes;
    dispose([...losses, ...(expertShares ? [expertShares] : []), ...grads.values()]);
  }
}
