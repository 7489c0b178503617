import { DataError, requirePositiveWhole, Rng } from '@vwn/core';

export interface BatchOptions {
  /** Windows a batch. */
  readonly batchSize: number;
  /** Tokens predicted a window, T. */
  readonly sequenceLength: number;
  /** Further tokens that a window needs beyond T: 1, and one for each multi-token head. */
  readonly extraTokens: number;
  readonly seed: number | string;
}

export type Tokens = Uint16Array | Uint32Array;

/** What to say of tokens that are not one window. */
interface TooShort {
  readonly what: string;
  readonly hint: string;
}

const tooShortToTrain: TooShort = {
  what: 'the text is shorter than one training window',
  hint: 'Give more text, hold out less, or lower train.sequence_length',
};

/**
 * Batches of windows over a stream of tokens. Windows begin every T tokens; each epoch visits every window once in an
 * order of its own. A batch is a pure function of seed and number, so a resumed run needs no state to go on.
 */
export class Batches {
  readonly windows: number;
  private epoch = -1;
  private order: Uint32Array = new Uint32Array();

  /** @throws DataError when there is not one window; ConfigError for sizes that cannot be */
  constructor(
    private readonly tokens: Tokens,
    private readonly options: BatchOptions,
    { what, hint }: TooShort = tooShortToTrain,
  ) {
    const { batchSize, sequenceLength: T, extraTokens } = options;
    requirePositiveWhole('Batches', 'batchSize', batchSize);
    requirePositiveWhole('Batches', 'sequenceLength', T);
    this.windows = Math.floor((tokens.length - extraTokens) / T);
    if (this.windows < 1)
      throw new DataError(what, { expected: `at least ${T + extraTokens} tokens`, got: String(tokens.length), hint });
  }

  /** The batch of a number counted from 0: [batchSize][T + extraTokens] token ids. */
  batch(number: number): Int32Array[] {
    return Array.from({ length: this.options.batchSize }, (_, i) => this.window(number * this.options.batchSize + i));
  }

  private window(position: number): Int32Array {
    const index = this.orderOf(Math.floor(position / this.windows))[position % this.windows] as number;
    const { sequenceLength: T, extraTokens } = this.options;
    return Int32Array.from(this.tokens.subarray(index * T, (index + 1) * T + extraTokens));
  }

  private orderOf(epoch: number): Uint32Array {
    if (epoch !== this.epoch) {
      this.epoch = epoch;
      const rng = Rng.fromSeed(this.options.seed).fork(`order of epoch ${epoch}`);
      this.order = rng.shuffle(Uint32Array.from({ length: this.windows }, (_, i) => i));
    }
    return this.order;
  }
}
