import { DataError } from '@vwn/core';
import type { MultipleChoiceDocument } from '../tasks/task';
import { PythonRandom } from './python-random';

/** Between the examples of a prompt, and between a question and its answer (lm-evaluation-harness's defaults). */
export const fewShotDelimiter = '\n\n';
export const targetDelimiter = ' ';

export interface FewShotPool {
  readonly documents: readonly MultipleChoiceDocument[];
  /**
   * Draw one example more than asked for, and drop the evaluated document or else the last. Needed where the pool is
   * what is being evaluated, so that a document is never its own example; lm-evaluation-harness draws so for tasks
   * without a test split, which decides what later draws give.
   */
  readonly drawsSpare: boolean;
}

/**
 * Puts examples before questions. Draws as lm-evaluation-harness's default sampler does, one draw a document in their
 * order, so the same seed over the same files gives the same prompts.
 */
export class FewShotSampler {
  private readonly random: PythonRandom;

  /** @throws DataError when the pool is too small */
  constructor(
    private readonly pool: FewShotPool,
    private readonly count: number,
    seed: number,
  ) {
    this.random = new PythonRandom(seed);
    const needed = count + (pool.drawsSpare ? 1 : 0);
    if (count > 0 && pool.documents.length < needed)
      throw new DataError(`there are too few documents for ${count} few-shot examples`, {
        expected: `at least ${needed}`,
        got: String(pool.documents.length),
        hint: 'Ask for fewer, or put the task’s training file beside its evaluation file',
      });
  }

  /** The prompt of a document: examples with their answers, then its own query. */
  prompt(document: MultipleChoiceDocument): string {
    const examples = this.draw(document).map(
      ({ query, choices, gold }) => query + targetDelimiter + (choices[gold] ?? '') + fewShotDelimiter,
    );
    return examples.join('') + document.query;
  }

  private draw(document: MultipleChoiceDocument): readonly MultipleChoiceDocument[] {
    const { pool, count, random } = this;
    if (count === 0) return [];
    if (!pool.drawsSpare) return random.sample(pool.documents, count);
    const isOther = (each: MultipleChoiceDocument) => each !== document;
    return random
      .sample(pool.documents, count + 1)
      .filter(isOther)
      .slice(0, count);
  }
}
