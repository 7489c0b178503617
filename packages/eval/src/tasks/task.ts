import type { Estimate } from '../metrics';

/** A question with its possible answers, one of them right. */
export interface MultipleChoiceDocument {
  /** The prompt without its answer and without the space before it. */
  readonly query: string;
  /** What may follow, without the space before it: `acc_norm` divides by the length of these. */
  readonly choices: readonly string[];
  /** Index of the right choice. */
  readonly gold: number;
}

/** Which files a task reads. Names are paths inside the data folder, the first that exists is taken. */
export interface DataRule {
  /** Published names of the evaluation split. */
  readonly evaluation: readonly string[];
  /** Published names of the split that few-shot examples come from. */
  readonly fewShot: readonly string[];
  /** Names too general to be found outside a folder named after the task, or the data folder itself as a last resort. */
  readonly general: readonly string[];
  /** What the files hold, in a sentence: for error texts. */
  readonly form: string;
}

interface TaskBase {
  readonly name: string;
  /** As in lm-evaluation-harness; raised when prompts or scoring change. */
  readonly version: number;
  /** What lm-evaluation-harness writes of the task in `configs`: templates, splits. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly higherIsBetter: Readonly<Record<string, boolean>>;
}

/** Choices compared by log-likelihood: `acc` and `acc_norm`. */
export interface MultipleChoiceTask extends TaskBase {
  readonly outputType: 'multiple_choice';
  readonly data: DataRule;
  /**
   * A document from a line of the file. `where` is the line's place, for errors.
   * @throws DataError naming the place and the field
   */
  document(row: unknown, where: string): MultipleChoiceDocument;
}

/** Whole texts: perplexity a word and a byte, bits a byte. */
export interface RollingTask extends TaskBase {
  readonly outputType: 'loglikelihood_rolling';
  /** Texts of the data folder, one a document. @throws DataError */
  documents(dataDir: string): Promise<readonly string[]>;
}

export type Task = MultipleChoiceTask | RollingTask;

/** What running a task gave. */
export interface TaskOutcome {
  readonly task: Task;
  readonly metrics: Readonly<Record<string, Estimate>>;
  /** Documents in the file, and documents evaluated. */
  readonly original: number;
  readonly effective: number;
  readonly numFewshot: number;
  readonly dataFiles: Readonly<Record<string, string | readonly string[]>>;
}
