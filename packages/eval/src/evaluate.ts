import { ConfigError } from '@vwn/core';
import { getBackend } from '@tensorflow/tfjs-core';
import { scoringModel, type EvaluableModel } from './language-model';
import { evaluationResults, type EvaluationResults } from './results';
import { prepareTask } from './run-task';
import type { EvalTokenizer } from './scoring-model';
import { findTask } from './tasks';
import type { Task } from './tasks/task';

export interface EvaluateOptions {
  /** Names of tasks ({@link taskNames}), or tasks of your own. */
  readonly tasks: readonly (string | Task)[];
  /** Folder of the tasks' published files. */
  readonly dataDir: string;
  /** Only the first `limit` documents of each task; below 1, that share of them. */
  readonly limit?: number;
  /** Sequences scored at once. Default 8. */
  readonly batchSize?: number;
  /** Examples before each question. Default 0. */
  readonly numFewshot?: number;
  /** Of the few-shot examples. Default 1234, as in lm-evaluation-harness. */
  readonly seed?: number;
  /** Begin each prompt with BOS: for tokenizers whose template adds one, as lm-evaluation-harness does there. */
  readonly addBosToken?: boolean;
  /** How results name the model. */
  readonly modelName?: string;
  /** How results name the device. Default: the TensorFlow.js backend in use. */
  readonly backend?: string;
  /** Called after each batch with the requests done and in all, of the task at work. */
  readonly onProgress?: (done: number, total: number, task: string) => void;
}

/**
 * Evaluates a model on tasks, as lm-evaluation-harness does, and returns its results file.
 * @throws ConfigError for an unknown task or an impossible option
 * @throws DataError for data that are missing or malformed, naming file, line and field
 */
export async function evaluate(
  model: EvaluableModel,
  tokenizer: EvalTokenizer,
  options: EvaluateOptions,
): Promise<EvaluationResults> {
  const { dataDir, batchSize = 8, numFewshot = 0, seed = 1234, limit, addBosToken = false, onProgress } = options;
  checkOptions({ limit, numFewshot, seed });
  const tasks = [...new Set(options.tasks.map((task) => (typeof task === 'string' ? findTask(task) : task)))];
  if (tasks.length === 0) throw new ConfigError('there is no task to run', { hint: 'Name at least one' });
  const scoring = scoringModel(model);
  const startedAt = Date.now();
  const prepared = [];
  for (const task of tasks)
    prepared.push(
      await prepareTask(task, {
        ...{ dataDir, batchSize, numFewshot, seed, addBosToken },
        ...(limit === undefined ? {} : { limit }),
        onProgress: (done, total) => onProgress?.(done, total, task.name),
      }),
    );
  const outcomes = [];
  for (const run of prepared) outcomes.push(await run(scoring, tokenizer));
  const { modelName = 'unnamed', backend = getBackend() } = options;
  const tookMs = Date.now() - startedAt;
  return evaluationResults({
    ...{ outcomes, model: scoring, tokenizer, modelName, backend, batchSize, limit, seed, startedAt, tookMs },
  });
}

function checkOptions({ limit, numFewshot, seed }: { limit: number | undefined; numFewshot: number; seed: number }) {
  if (limit !== undefined && !(limit > 0))
    throw new ConfigError('limit is wrong', { expected: 'a number above 0', got: String(limit) });
  if (!Number.isInteger(numFewshot) || numFewshot < 0)
    throw new ConfigError('numFewshot is wrong', { expected: 'a whole number of at least 0', got: String(numFewshot) });
  if (!Number.isInteger(seed) || seed < 0 || seed > 0xffffffff)
    throw new ConfigError('seed is wrong', { expected: 'a whole number from 0 to 4294967295', got: String(seed) });
}
