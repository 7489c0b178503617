import type { LanguageModel } from '@vwn/layers';
import { tidy } from '@tensorflow/tfjs-core';
import { Batches, type BatchOptions, type Tokens } from './data/batches';

const tooShortToMeasure = {
  what: 'the held-out text is shorter than one window',
  hint: 'Hold out more (data.holdout), give more text, or lower train.sequence_length',
};

/** A fixed set of held-out windows, the same at every evaluation and for every model of one data configuration. */
export class HeldOut {
  private readonly batches: readonly Int32Array[][];

  /** @throws DataError when there is not one window */
  constructor(tokens: Tokens, options: BatchOptions, count: number) {
    const seed = `held out ${options.seed}`;
    const all = new Batches(tokens, { ...options, seed }, tooShortToMeasure);
    const distinct = Math.max(1, Math.min(count, Math.floor(all.windows / options.batchSize)));
    this.batches = Array.from({ length: distinct }, (_, i) => all.batch(i));
  }

  /** Mean next-token loss in nats. */
  loss(model: LanguageModel): number {
    const losses = this.batches.map((batch) => tidy(() => model.loss(batch).losses[0]?.dataSync()[0] as number));
    return losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
  }
}
