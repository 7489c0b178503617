import type { ModelConfig } from './config';

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
