import { idsTensor, type LanguageModel } from '@vwn/layers';
import type { Tensor } from '@tensorflow/tfjs-core';
import { CapturedRun } from './captured-run';
import { freePasses, readPasses, runPasses, type Gradients, type Passes } from './gradients';

/**
 * Gradients of one model, batch after batch. Where the backend can capture kernels, the passes of one batch are captured
 * and replayed for every further one of its shape, without the JavaScript in between.
 */
export class CapturedGradients {
  private readonly passes = new CapturedRun<Passes>(freePasses);

  constructor(private readonly model: LanguageModel) {}

  /** Why the last passes were not captured. */
  get reason(): string | undefined {
    return this.passes.reason;
  }

  /** Valid until the next batch. @throws ShapeError for ids out of the vocabulary or rows of different lengths */
  of(batch: readonly Int32Array[]): Gradients {
    const passes = this.passes.run(
      [idsTensor(batch, this.model.config.vocab_size)],
      () => ({ state: this.model.trainableVariables().map(([, variable]) => variable) }),
      ([ids]) => runPasses(this.model, ids as Tensor),
    );
    return { ...readPasses(passes), release: () => this.passes.release(passes) };
  }

  dispose(): void {
    this.passes.dispose();
  }
}
