import type { Task } from './tasks/task';

/** Metrics of one task, keyed as lm-evaluation-harness does: `<metric>,<filter>`. */
export type TaskResult = Record<string, number | string>;

/** The parts of lm-evaluation-harness's results file that are filled here. */
export interface EvaluationResults {
  readonly results: Record<string, TaskResult>;
  readonly group_subtasks: Record<string, string[]>;
  readonly configs: Record<string, Record<string, unknown>>;
  readonly versions: Record<string, number>;
  readonly 'n-shot': Record<string, number>;
  readonly higher_is_better: Record<string, Record<string, boolean>>;
  readonly 'n-samples': Record<string, { original: number; effective: number }>;
  readonly config: Record<string, unknown>;
  readonly git_hash: null;
  readonly date: number;
  readonly model_source: string;
  readonly model_name: string;
  readonly model_name_sanitized: string;
  readonly start_time: number;
  readonly end_time: number;
  readonly total_evaluation_time_seconds: string;
}

/** What was measured on one task. */
export interface TaskOutcome {
  readonly task: Task;
  readonly metrics: Record<'acc' | 'acc_norm', { mean: number; stderr: number }>;
  readonly original: number;
  readonly effective: number;
}

export interface ResultSettings {
  readonly modelName: string;
  readonly backend: string | null;
  readonly batchSize: number;
  readonly numFewshot: number;
  readonly limit: number | null;
  /** Seconds since 1970. */
  readonly started: number;
  readonly ended: number;
}

export function buildResults(outcomes: readonly TaskOutcome[], settings: ResultSettings): EvaluationResults {
  const byTask = <T>(value: (outcome: TaskOutcome) => T) =>
    Object.fromEntries(outcomes.map((each) => [each.task.name, value(each)]));
  const { modelName, backend, batchSize, numFewshot, limit, started, ended } = settings;
  return {
    results: byTask(taskResult),
    group_subtasks: byTask(() => []),
    configs: byTask(({ task }) => taskConfig(task, numFewshot)),
    versions: byTask(({ task }) => task.version),
    'n-shot': byTask(() => numFewshot),
    higher_is_better: byTask(() => ({ acc: true, acc_norm: true })),
    'n-samples': byTask(({ original, effective }) => ({ original, effective })),
    config: {
      model: 'vwn',
      model_args: `pretrained=${modelName}`,
      batch_size: batchSize,
      batch_sizes: [],
      device: backend,
      use_cache: null,
      limit,
      bootstrap_iters: 0,
      gen_kwargs: null,
    },
    git_hash: null,
    date: started,
    model_source: 'vwn',
    model_name: modelName,
    model_name_sanitized: modelName.replace(/["<>:/|\\?*[\]]+/g, '__'),
    start_time: started,
    end_time: ended,
    total_evaluation_time_seconds: String(ended - started),
  };
}

function taskResult({ task, metrics }: TaskOutcome): TaskResult {
  const result: TaskResult = { alias: task.name };
  for (const [metric, { mean, stderr }] of Object.entries(metrics)) {
    result[`${metric},none`] = mean;
    result[`${metric}_stderr,none`] = Number.isFinite(stderr) ? stderr : 'N/A';
  }
  return result;
}

function taskConfig(
  { name, version, split, targetDelimiter, fewshotDelimiter }: Task,
  numFewshot: number,
): Record<string, unknown> {
  const metric = (each: string) => ({ metric: each, aggregation: 'mean', higher_is_better: true });
  return {
    task: name,
    output_type: 'multiple_choice',
    test_split: split,
    target_delimiter: targetDelimiter,
    fewshot_delimiter: fewshotDelimiter,
    num_fewshot: numFewshot,
    metric_list: [metric('acc'), metric('acc_norm')],
    metadata: { version },
  };
}
