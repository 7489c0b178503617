/** The shape of a model configuration: Hugging Face's config.json keys, and `virtual_width` for what they have no key for. */
import { z } from 'zod';

const positive = z.int().positive();
const tokenId = z.union([z.int(), z.array(z.int()), z.null()]).optional();

export const virtualWidthSchema = z.strictObject({
  m: positive,
  n: positive,
  dynamic: z.boolean().default(true),
  embedding: z.enum(['wide', 'expand']).default('wide'),
  reduce_norm: z.enum(['rms', 'layer', 'none']).default('rms'),
});

export const modelSchema = z.object({
  model_type: z.enum(['llama', 'mixtral', 'vwn']).optional(),
  vocab_size: positive,
  hidden_size: positive,
  intermediate_size: positive,
  num_hidden_layers: positive,
  num_attention_heads: positive,
  num_key_value_heads: positive.nullish(),
  head_dim: positive.nullish(),
  max_position_embeddings: positive.default(2048),
  rope_theta: z.number().positive().nullish(),
  rms_norm_eps: z.number().positive().default(1e-6),
  tie_word_embeddings: z.boolean().nullish(),
  hidden_act: z.literal('silu').default('silu'),
  num_local_experts: z.int().nonnegative().default(0),
  num_experts_per_tok: positive.default(2),
  router_aux_loss_coef: z.number().nonnegative().default(0.001),
  initializer_range: z.number().positive().default(0.02),
  num_nextn_predict_layers: z.int().nonnegative().default(0),
  mtp_loss_weight: z.number().nonnegative().default(0.3),
  virtual_width: virtualWidthSchema.nullish(),
  bos_token_id: tokenId,
  eos_token_id: tokenId,
  pad_token_id: tokenId,
});

export type VirtualWidthConfig = z.infer<typeof virtualWidthSchema>;
export type ModelInput = z.infer<typeof modelSchema>;
