import { DataError } from '@vwn/core';
import type { LanguageModel } from '@vwn/layers';
import { choiceScores, meanAndError } from './metrics';
import { answerRequests } from './requests';
import { buildResults, type EvaluationResults, type TaskOutcome } from './results';
import { scoringModel, type ScoringModel, type ScoringTokenizer } from './scoring-model';
import { findTask } from './tasks/index';
import { loadDocuments } from './tasks/load-documents';
import type { MultipleChoice, Task } from './tasks/task';

export interface EvaluateOptions {
  readonly tasks: readonly string[];
  /** Folder with the tasks' published files. */
  readonly dataDir: string;
  /** Only the first so many documents of each task. */
  readonly limit?: number;
  readonly batchSize?: number;
  /** Questions with their answers put before each one: those that come first in the file, never the question itself. */
  readonly numFewshot?: number;
  /** For the results file. */
  readonly modelName?: string;
  readonly backend?: string;
  readonly onProgress?: (done: number, total: number, task: string) => void;
}

/**
 * Multiple-choice tasks by log-likelihood: every choice is scored as a continuation of the question; results in
 * lm-evaluation-harness's schema.
 * @throws DataError for unknown tasks and unreadable data
 */
export async function evaluate(
  model: LanguageModel | ScoringModel,
  tokenizer: ScoringTokenizer,
  options: EvaluateOptions,
): Promise<EvaluationResults> {
  const scorer = 'logProbabilities' in model ? model : scoringModel(model);
  const started = Date.now() / 1000;
  const tasks = options.tasks.map(findTask);
  const outcomes: TaskOutcome[] = [];
  for (const task of tasks)
    outcomes.push(evaluateTask(task, await loadDocuments(task, options.dataDir), scorer, tokenizer, options));
  return buildResults(outcomes, {
    modelName: options.modelName ?? 'model',
    backend: options.backend ?? null,
    batchSize: options.batchSize ?? 8,
    numFewshot: options.numFewshot ?? 0,
    limit: options.limit ?? null,
    started,
    ended: Date.now() / 1000,
  });
}

function evaluateTask(
  task: Task,
  documents: readonly MultipleChoice[],
  model: ScoringModel,
  tokenizer: ScoringTokenizer,
  { limit = documents.length, batchSize = 8, numFewshot = 0, onProgress }: EvaluateOptions,
): TaskOutcome {
  if (numFewshot >= documents.length)
    throw new DataError(`${task.name} has too few documents for ${numFewshot} examples`, {
      got: String(documents.length),
    });
  const used = documents.slice(0, limit);
  const requests = used.flatMap((question, i) => {
    const context = fewshot(task, documents, i, numFewshot) + question.context;
    return question.choices.map((choice) => ({ context, continuation: task.targetDelimiter + choice }));
  });
  const progress = onProgress && ((done: number, total: number) => onProgress(done, total, task.name));
  const answers = answerRequests(model, tokenizer, requests, {
    batchSize,
    ...(progress ? { onProgress: progress } : {}),
  });
  let next = 0;
  const scores = used.map(({ choices, gold }) => {
    const likelihoods = answers.slice(next, (next += choices.length)).map(({ logLikelihood }) => logLikelihood);
    return choiceScores(likelihoods, choices, gold);
  });
  const metrics = {
    acc: meanAndError(scores.map(({ acc }) => acc)),
    acc_norm: meanAndError(scores.map(({ acc_norm }) => acc_norm)),
  };
  return { task, metrics, original: documents.length, effective: used.length };
}

function fewshot(task: Task, documents: readonly MultipleChoice[], index: number, count: number): string {
  const examples = documents.filter((_, i) => i !== index).slice(0, count);
  return examples
    .map(
      ({ context, choices, gold }) =>
        context + task.targetDelimiter + (choices[gold] as string) + task.fewshotDelimiter,
    )
    .join('');
}
