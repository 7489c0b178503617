import { ConfigError, describeIssues, parseModelConfig, type ModelConfig } from '@vwn/core';
import { parse as parseYaml } from 'yaml';
import { z } from 'zod';
import { applyOverrides } from './overrides';

const positive = z.int().positive();
const count = z.int().nonnegative();
const rate = z.number().nonnegative();
const share = z.number().min(0).max(1);
/** Of a moment: at 1 it would never take in a gradient, and its bias correction would divide by zero. */
const decay = z.number().min(0).lt(1);

/** Positions are int32. */
const mostTokens = 2 ** 31 - 1;

const dataSchema = z.strictObject({
  /** `sotu`, files and folders of text, or token files (.bin, uint16 as nanoGPT writes them). */
  corpus: z.union([z.literal('sotu'), z.array(z.string()).min(1)]).default('sotu'),
  /** Train a tokenizer of so many tokens on the training text, or use one (tokenizer.json or its folder). */
  tokenizer: z.union([z.strictObject({ vocab_size: positive }), z.string()]).optional(),
  /** Share of the text that is held out for evaluation, by whole documents unless they are too long for that. */
  holdout: share.default(0.02),
});

/** Keys of Hugging Face's TrainingArguments where they exist. */
const optionsSchema = z.strictObject({
  batch_size: positive.default(16),
  sequence_length: positive.default(128),
  gradient_accumulation_steps: positive.default(1),
  max_steps: positive.default(1000),
  learning_rate: rate.default(1e-3),
  lr_scheduler_type: z.enum(['cosine', 'constant']).default('cosine'),
  min_lr_ratio: share.default(0.1),
  warmup_steps: count.default(0),
  weight_decay: rate.default(0.1),
  adam_beta1: decay.default(0.9),
  adam_beta2: decay.default(0.95),
  adam_epsilon: z.number().positive().default(1e-8),
  /** Gradients of a larger global norm are scaled down to it; 0 leaves them alone. */
  max_grad_norm: rate.default(1),
  seed: z.union([z.int(), z.string()]).default(0),
  eval_steps: positive.default(100),
  /** Held-out batches an evaluation. */
  eval_batches: positive.default(8),
  save_steps: positive.default(500),
  /** Older checkpoints beyond so many are deleted. */
  save_total_limit: positive.default(2),
  backend: z.string().optional(),
  /** How the backend stores activations and their gradients; weights and optimizer state are float32 in either. */
  precision: z.enum(['fp32', 'bf16']).default('fp32'),
});

const schema = z.strictObject({
  model: z.record(z.string(), z.unknown()),
  data: dataSchema.prefault({}),
  train: optionsSchema.prefault({}),
});

export type DataConfig = z.infer<typeof dataSchema>;
export type TrainOptions = z.infer<typeof optionsSchema>;

export interface TrainConfig {
  readonly model: ModelConfig;
  readonly data: DataConfig;
  readonly train: TrainOptions;
}

export interface ParseOptions {
  /** Where the configuration came from, for errors. */
  readonly source?: string;
  /** `key=value` with dotted keys, e.g. `train.max_steps=100`; values are YAML. */
  readonly overrides?: readonly string[];
}

/**
 * Reads a training configuration: YAML text (JSON is YAML) or an object with `model` (keys of config.json), `data` and
 * `train`.
 * @throws ConfigError listing every problem with its field
 */
export function parseTrainConfig(
  input: string | object,
  { source = 'configuration', overrides = [] }: ParseOptions = {},
): TrainConfig {
  const given = applyOverrides(typeof input === 'string' ? parseText(input, source) : input, overrides);
  const parsed = schema.safeParse(given);
  if (!parsed.success) {
    const problems = describeIssues(parsed.error, given);
    throw new ConfigError(
      `${source} has ${problems.length === 1 ? 'a problem' : `${problems.length} problems`}:\n  - ${problems.join('\n  - ')}`,
    );
  }
  const { data, train } = parsed.data;
  const model = parseModelConfig(parsed.data.model, `${source}, model`, { refuseUnknown: true });
  checkTogether(model, data, train, source);
  return { model, data, train };
}

function parseText(text: string, source: string): unknown {
  try {
    return parseYaml(text);
  } catch (cause) {
    const got = cause instanceof Error ? cause.message : String(cause);
    throw new ConfigError(`${source} is not valid YAML`, { got, cause });
  }
}

function checkTogether(model: ModelConfig, data: DataConfig, train: TrainOptions, source: string): void {
  if (train.sequence_length > model.max_position_embeddings)
    throw new ConfigError(`${source}: train.sequence_length is longer than the model's positions`, {
      expected: `at most model.max_position_embeddings = ${model.max_position_embeddings}`,
      got: String(train.sequence_length),
    });
  if (train.batch_size * train.sequence_length > mostTokens)
    throw new ConfigError(`${source}: a batch has more tokens than a tensor can number`, {
      expected: `train.batch_size times train.sequence_length of at most ${mostTokens}`,
      got: `${train.batch_size} times ${train.sequence_length}`,
      hint: 'Use train.gradient_accumulation_steps for batches larger than memory',
    });
  if (typeof data.tokenizer === 'object' && data.tokenizer.vocab_size > model.vocab_size)
    throw new ConfigError(`${source}: the tokenizer has more tokens than the model`, {
      expected: `data.tokenizer.vocab_size of at most model.vocab_size = ${model.vocab_size}`,
      got: String(data.tokenizer.vocab_size),
    });
}
