import type { ModelConfig } from './config';
import { modelSchema } from './config-schema';
import { nearestName } from './nearest-name';

type Json = Record<string, unknown>;

/** Keys that change the mathematics of a Llama or Mixtral model in ways that are not supported here, and why. */
const refusals: readonly {
  readonly key: string;
  readonly changes: (value: unknown) => boolean;
  readonly reason: string;
}[] = [
  { key: 'rope_scaling', changes: isScaledRope, reason: 'scaled rotary embeddings are not supported' },
  { key: 'rope_parameters', changes: isScaledRope, reason: 'scaled rotary embeddings are not supported' },
  { key: 'attention_bias', changes: Boolean, reason: 'projections have no bias here' },
  { key: 'mlp_bias', changes: Boolean, reason: 'projections have no bias here' },
  { key: 'sliding_window', changes: (value) => value != null, reason: 'attention sees the whole context here' },
  {
    key: 'quantization_config',
    changes: (value) => value != null,
    reason: 'quantised weights are not supported; save the model in float32, float16 or bfloat16',
  },
  {
    key: 'partial_rotary_factor',
    changes: (value) => value != null && value !== 1,
    reason: 'rotary embedding turns whole heads here',
  },
];

/** What transformers writes into the config.json of a Llama or Mixtral model beside what is read here. */
const withoutEffect = new Set([
  '_name_or_path',
  'architectures',
  'chunk_size_feed_forward',
  'dtype',
  'id2label',
  'is_decoder',
  'is_encoder_decoder',
  'label2id',
  'output_attentions',
  'output_hidden_states',
  'output_router_logits',
  'pretraining_tp',
  'problem_type',
  'return_dict',
  'tokenizer_class',
  'torch_dtype',
  'transformers_version',
  'use_cache',
]);

/** Of training only: a config.json that is loaded may have them, a model that is to be trained may not. */
const withoutEffectAtZero = new Set(['attention_dropout', 'router_jitter_noise']);

function isScaledRope(value: unknown): boolean {
  if (value == null || typeof value !== 'object') return value != null;
  const { rope_type, type } = value as Json;
  return (rope_type ?? type ?? 'default') !== 'default';
}

/** A line for each key of a config.json that would change the mathematics. */
export function unsupportedKeys(input: unknown): string[] {
  if (input === null || typeof input !== 'object') return [];
  const json = input as Json;
  return refusals
    .filter(({ key, changes }) => key in json && changes(json[key]))
    .map(({ key, reason }) => `${key}: ${reason}, got ${JSON.stringify(json[key])}; use a model without it`);
}

/** A line for each key that means nothing here, with the one that it may be a slip of. */
export function unknownKeys(input: unknown): string[] {
  if (input === null || typeof input !== 'object') return [];
  const own = Object.keys(modelSchema.shape);
  const known = new Set([...own, ...refusals.map(({ key }) => key), ...withoutEffect]);
  return Object.entries(input).flatMap(([key, value]) => {
    if (known.has(key)) return [];
    if (withoutEffectAtZero.has(key))
      return value ? [`${key}: not supported here, got ${JSON.stringify(value)}; set it to 0 or leave it out`] : [];
    return [`${key}: nothing of that name is known here${adviceFor(key, own)}`];
  });
}

function adviceFor(key: string, own: readonly string[]): string {
  if (key === '<<') return '; YAML merge keys are not read, write the keys out';
  const nearest = nearestName(key, own);
  return nearest === undefined ? '' : `; did you mean ${nearest}?`;
}

/** Newer versions of transformers write `rope_parameters: { rope_theta }`. */
export function ropeTheta(input: unknown): number | undefined {
  const theta = ((input as Json | null)?.rope_parameters as Json | null | undefined)?.rope_theta;
  return typeof theta === 'number' ? theta : undefined;
}

/** What is written to config.json; {@link parseModelConfig} reads it back to the same configuration. */
export function toHuggingFaceConfig(config: ModelConfig): Json {
  const { virtual_width, num_nextn_predict_layers, mtp_loss_weight, ...shared } = config;
  const { num_local_experts, num_experts_per_tok, router_aux_loss_coef, ...dense } = shared;
  const architectures = { llama: 'LlamaForCausalLM', mixtral: 'MixtralForCausalLM', vwn: 'VwnForCausalLM' };
  const experts = { num_local_experts, num_experts_per_tok, router_aux_loss_coef };
  return {
    architectures: [architectures[config.model_type]],
    ...dense,
    ...(num_local_experts > 0 ? experts : {}),
    ...(config.model_type === 'vwn'
      ? { virtual_width: virtual_width ?? null, num_nextn_predict_layers, mtp_loss_weight }
      : {}),
    torch_dtype: 'float32',
    use_cache: true,
  };
}
