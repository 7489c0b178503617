import { fewShotDelimiter, targetDelimiter } from './few-shot/examples';
import type { Estimate } from './metrics';
import type { EvalTokenizer, ScoringModel } from './scoring-model';
import type { TaskOutcome } from './tasks/task';

/**
 * Metrics of a task: `"acc,none"` and `"acc_stderr,none"` (metric and filter, of which there is only `none`), with
 * `"N/A"` for a standard error that cannot be had.
 */
export type TaskMetrics = Readonly<Record<string, number | string>>;

/**
 * lm-evaluation-harness's results file (`EvalResults` of 0.4.13's result_schema.py, as its EvaluationTracker writes
 * it), less what speaks of PyTorch, Python and git.
 */
export interface EvaluationResults {
  readonly results: Readonly<Record<string, TaskMetrics>>;
  readonly group_subtasks: Readonly<Record<string, readonly string[]>>;
  readonly configs: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly versions: Readonly<Record<string, number>>;
  readonly 'n-shot': Readonly<Record<string, number>>;
  readonly higher_is_better: Readonly<Record<string, Readonly<Record<string, boolean>>>>;
  readonly 'n-samples': Readonly<Record<string, { readonly original: number; readonly effective: number }>>;
  readonly config: Readonly<Record<string, unknown>>;
  readonly git_hash: string | null;
  /** When the evaluation began, in seconds since 1970. */
  readonly date: number;
  /** A token's text and id, `null` and "None" where there is none. */
  readonly tokenizer_pad_token: readonly [string | null, string];
  readonly tokenizer_eos_token: readonly [string | null, string];
  readonly tokenizer_bos_token: readonly [string | null, string];
  readonly eot_token_id: number | null;
  readonly max_length: number;
  readonly task_hashes: Readonly<Record<string, string>>;
  readonly model_source: string;
  readonly model_name: string;
  readonly model_name_sanitized: string;
  readonly system_instruction: null;
  readonly system_instruction_sha: null;
  readonly fewshot_as_multiturn: boolean;
  readonly chat_template: null;
  readonly chat_template_sha: null;
  /** A text, as lm-evaluation-harness writes it. */
  readonly total_evaluation_time_seconds: string;
}

export interface RunFacts {
  readonly outcomes: readonly TaskOutcome[];
  readonly model: ScoringModel;
  readonly tokenizer: EvalTokenizer;
  readonly modelName: string;
  readonly backend: string;
  readonly batchSize: number;
  readonly limit: number | undefined;
  readonly seed: number;
  /** Both in milliseconds. */
  readonly startedAt: number;
  readonly tookMs: number;
}

/** The results file of a run. */
export function evaluationResults(facts: RunFacts): EvaluationResults {
  const { outcomes, model, tokenizer, modelName } = facts;
  const byTask = <T>(value: (outcome: TaskOutcome) => T): Record<string, T> =>
    Object.fromEntries(outcomes.map((outcome) => [outcome.task.name, value(outcome)]));
  return {
    results: byTask(taskMetrics),
    group_subtasks: {},
    configs: byTask(taskConfig),
    versions: byTask(({ task }) => task.version),
    'n-shot': byTask(({ numFewshot }) => numFewshot),
    higher_is_better: byTask(({ task }) => task.higherIsBetter),
    'n-samples': byTask(({ original, effective }) => ({ original, effective })),
    config: runConfig(facts),
    git_hash: null,
    date: facts.startedAt / 1000,
    tokenizer_pad_token: [null, 'None'],
    tokenizer_eos_token: describeToken(tokenizer, tokenizer.eosId),
    tokenizer_bos_token: describeToken(tokenizer, tokenizer.bosId),
    eot_token_id: tokenizer.eosId ?? null,
    max_length: model.maxLength,
    task_hashes: {},
    model_source: 'vwn',
    model_name: modelName,
    model_name_sanitized: modelName.replace(/["<>:/|\\?*[\]]+/g, '__'),
    system_instruction: null,
    system_instruction_sha: null,
    fewshot_as_multiturn: false,
    chat_template: null,
    chat_template_sha: null,
    total_evaluation_time_seconds: String(facts.tookMs / 1000),
  };
}

function taskMetrics({ task, effective, metrics }: TaskOutcome): TaskMetrics {
  const pairs = Object.entries(metrics).flatMap(([name, { value, stderr }]: [string, Estimate]) => [
    [`${name},none`, value] as const,
    [`${name}_stderr,none`, stderr ?? 'N/A'] as const,
  ]);
  return { name: task.name, alias: task.name, sample_len: effective, ...Object.fromEntries(pairs) };
}

function taskConfig({ task, numFewshot, dataFiles }: TaskOutcome): Record<string, unknown> {
  const aggregations: Record<string, string> = { bits_per_byte: 'bits_per_byte', acc: 'mean', acc_norm: 'mean' };
  return {
    task: task.name,
    dataset_path: task.outputType === 'multiple_choice' ? 'json' : 'text',
    dataset_kwargs: { data_files: dataFiles },
    ...task.config,
    description: '',
    target_delimiter: targetDelimiter,
    fewshot_delimiter: fewShotDelimiter,
    num_fewshot: numFewshot,
    metric_list: Object.entries(task.higherIsBetter).map(([metric, higher]) => ({
      metric,
      aggregation: aggregations[metric] ?? 'weighted_perplexity',
      higher_is_better: higher,
    })),
    output_type: task.outputType,
    repeats: 1,
    metadata: { version: task.version },
  };
}

function runConfig({ model, modelName, batchSize, backend, limit, seed }: RunFacts): Record<string, unknown> {
  return {
    model: 'vwn',
    model_args: { pretrained: modelName },
    ...(model.parameterCount === undefined ? {} : { model_num_parameters: model.parameterCount }),
    model_dtype: 'float32',
    batch_size: batchSize,
    batch_sizes: [],
    device: backend,
    use_cache: null,
    limit: limit ?? null,
    // no metric here needs a bootstrap
    bootstrap_iters: 0,
    gen_kwargs: null,
    // only the few-shot examples are random
    random_seed: null,
    numpy_seed: null,
    torch_seed: null,
    fewshot_seed: seed,
  };
}

function describeToken(tokenizer: EvalTokenizer, id: number | undefined): readonly [string | null, string] {
  return id === undefined ? [null, 'None'] : [tokenizer.decode([id]), String(id)];
}
