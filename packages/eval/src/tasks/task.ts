/** A multiple-choice question, as prompts. */
export interface MultipleChoice {
  readonly context: string;
  /** Without the space before them. */
  readonly choices: readonly string[];
  /** Index of the right choice. */
  readonly gold: number;
}

/** A task: where its data is, how a record becomes a question. */
export interface Task {
  readonly name: string;
  /** Of the prompt and scoring, as in lm-evaluation-harness's task. */
  readonly version: number;
  /** File names that are looked for in the data folder, the first found is used. */
  readonly files: readonly string[];
  readonly split: string;
  /** Put between context and choice, and between few-shot examples. */
  readonly targetDelimiter: string;
  readonly fewshotDelimiter: string;
  /** @throws DataError naming the field that is missing; `where` is file and line */
  read(record: Record<string, unknown>, where: string): MultipleChoice;
}
