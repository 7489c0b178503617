import { modelSchema, type ModelInput, type VirtualWidthConfig } from './config-schema';
import { ConfigError } from './errors';
import { ropeTheta, unknownKeys, unsupportedKeys } from './huggingface-config';
import { segmentWidths, type SegmentWidths } from './segments';
import { describeIssues } from './zod-problems';

export type { VirtualWidthConfig } from './config-schema';

/**
 * A model's configuration with every default filled in, in the keys of Hugging Face's config.json. Without
 * `virtual_width` it describes a LlamaForCausalLM (dense) or MixtralForCausalLM (`num_local_experts` > 0).
 */
export interface ModelConfig {
  readonly model_type: 'llama' | 'mixtral' | 'vwn';
  /** V */
  readonly vocab_size: number;
  /** D, the backbone width */
  readonly hidden_size: number;
  readonly intermediate_size: number;
  /** L; each layer has two sublayers, each with its own connection */
  readonly num_hidden_layers: number;
  readonly num_attention_heads: number;
  readonly num_key_value_heads: number;
  readonly head_dim: number;
  readonly max_position_embeddings: number;
  readonly rope_theta: number;
  readonly rms_norm_eps: number;
  readonly tie_word_embeddings: boolean;
  readonly hidden_act: 'silu';
  /** 0: dense SwiGLU */
  readonly num_local_experts: number;
  readonly num_experts_per_tok: number;
  /** Weight of the load-balancing loss; only with experts */
  readonly router_aux_loss_coef: number;
  /** Standard deviation of new weights */
  readonly initializer_range: number;
  /** Depth of multi-token prediction */
  readonly num_nextn_predict_layers: number;
  /** λ of `loss = NTP + λ · mean(MTP)` */
  readonly mtp_loss_weight: number;
  readonly virtual_width?: VirtualWidthConfig;
  readonly bos_token_id?: number | number[] | null;
  readonly eos_token_id?: number | number[] | null;
  readonly pad_token_id?: number | number[] | null;
}

export interface Widths extends SegmentWidths {
  readonly headDim: number;
  /** Whether there is a virtual width at all; without one m = n = 1. */
  readonly virtual: boolean;
}

export interface ParseModelOptions {
  /**
   * Refuse keys that mean nothing here, as what people write wants: a misspelt key would be another model. A config.json
   * may hold more than is read of it. Default false.
   */
  readonly refuseUnknown?: boolean;
}

/**
 * Reads a configuration, fills in defaults, checks that it makes sense.
 * @param source where it came from, for the error (a file's name)
 * @throws ConfigError listing every problem: field, what was expected, what was found, what to do
 */
export function parseModelConfig(
  input: unknown,
  source = 'model configuration',
  { refuseUnknown = false }: ParseModelOptions = {},
): ModelConfig {
  const parsed = modelSchema.safeParse(input);
  const refused = [...unsupportedKeys(input), ...(refuseUnknown ? unknownKeys(input) : [])];
  const problems = [...(parsed.success ? [] : describeIssues(parsed.error, input)), ...refused];
  if (parsed.success) problems.push(...contradictions(fillIn(parsed.data, input)));
  if (problems.length > 0 || !parsed.success) throw invalid(source, problems);
  return fillIn(parsed.data, input);
}

function invalid(source: string, problems: readonly string[]): ConfigError {
  const list = problems.map((problem) => `\n  - ${problem.replaceAll('\n', '\n  - ')}`).join('');
  return new ConfigError(
    `${source} has ${problems.length === 1 ? 'a problem' : `${problems.length} problems`}:${list}`,
  );
}

function fillIn(data: ModelInput, input: unknown): ModelConfig {
  const { virtual_width, model_type, rope_theta, bos_token_id, eos_token_id, pad_token_id, ...rest } = data;
  const plainType = data.num_local_experts > 0 ? 'mixtral' : 'llama';
  return {
    ...rest,
    model_type: virtual_width || data.num_nextn_predict_layers > 0 ? 'vwn' : (model_type ?? plainType),
    num_key_value_heads: data.num_key_value_heads ?? data.num_attention_heads,
    head_dim: data.head_dim ?? data.hidden_size / data.num_attention_heads,
    rope_theta: rope_theta ?? ropeTheta(input) ?? 10000,
    tie_word_embeddings: data.tie_word_embeddings ?? false,
    ...(virtual_width ? { virtual_width } : {}),
    ...(bos_token_id === undefined ? {} : { bos_token_id }),
    ...(eos_token_id === undefined ? {} : { eos_token_id }),
    ...(pad_token_id === undefined ? {} : { pad_token_id }),
  };
}

function contradictions(config: ModelConfig): string[] {
  const { hidden_size: D, num_attention_heads: heads, num_key_value_heads: kvHeads, head_dim: headDim } = config;
  const problems: string[] = [];
  if (!Number.isInteger(headDim))
    problems.push(
      `head_dim: num_attention_heads must divide hidden_size, got ${D}/${heads}; change one or set head_dim`,
    );
  else if (headDim % 2 !== 0)
    problems.push(`head_dim: expected an even number (rotary embedding turns pairs), got ${headDim}`);
  if (heads % kvHeads !== 0)
    problems.push(`num_key_value_heads: expected a divisor of num_attention_heads = ${heads}, got ${kvHeads}`);
  if (config.num_local_experts > 0 && config.num_experts_per_tok > config.num_local_experts)
    problems.push(
      `num_experts_per_tok: expected at most num_local_experts = ${config.num_local_experts}, got ${config.num_experts_per_tok}`,
    );
  if (config.model_type === 'mixtral' && config.num_local_experts === 0)
    problems.push(
      'num_local_experts: model_type "mixtral" needs at least 1 expert, got 0; use "llama" for a dense model',
    );
  if (config.model_type === 'llama' && config.num_local_experts > 0)
    problems.push(`num_local_experts: model_type "llama" is dense, got ${config.num_local_experts}; use "mixtral"`);
  if (config.tie_word_embeddings && config.virtual_width?.embedding === 'wide')
    problems.push(
      "tie_word_embeddings: a wide embedding [V, D'] cannot serve as the unembedding [V, D]; set it to false, or use virtual_width.embedding: expand",
    );
  if (config.virtual_width) problems.push(...virtualWidthProblems(D, config.virtual_width));
  return problems;
}

function virtualWidthProblems(D: number, { m, n, reduce_norm }: VirtualWidthConfig): string[] {
  try {
    segmentWidths({ hiddenSize: D, m, n });
  } catch (error) {
    if (error instanceof ConfigError) return [`virtual_width: ${error.message}`];
    throw error;
  }
  if (n % m === 0 || reduce_norm === 'none') return [];
  return [
    `virtual_width.reduce_norm: expected "none", got "${reduce_norm}": it normalises in groups of hidden_size, ` +
      `and with r = n/m = ${n}/${m} there is no whole number of groups; set reduce_norm: none, or make n a multiple of m`,
  ];
}

/** Derived widths, in the letters of the method. */
export function widths(config: ModelConfig): Widths {
  const { m, n } = config.virtual_width ?? { m: 1, n: 1 };
  const virtual = config.virtual_width !== undefined;
  return { ...segmentWidths({ hiddenSize: config.hidden_size, m, n }), headDim: config.head_dim, virtual };
}
