import { widths, type ModelConfig } from './config';

/** Number of parameters by part; the sum is that of the model which @vwn/layers builds. */
export function parameterParts(config: ModelConfig): Record<string, number> {
  const { D, db, overWidth, virtual } = widths(config);
  const { vocab_size: V, num_hidden_layers: L, num_nextn_predict_layers: heads, virtual_width } = config;
  const expand = virtual_width?.embedding === 'expand';
  const norms = { rms: overWidth, layer: 2 * overWidth, none: 0 };
  const connection = virtual ? 2 * connectionParameters(config) : 0;
  return {
    embedding: V * (expand ? D : overWidth) + (expand ? overWidth * D : 0),
    attention: L * attentionParameters(config),
    feedForward: L * feedForwardParameters(config),
    norms: L * 2 * D + D,
    connections: L * connection,
    reduce: virtual ? D * overWidth + norms[virtual_width?.reduce_norm ?? 'rms'] : 0,
    unembedding: config.tie_word_embeddings ? 0 : V * D,
    multiToken:
      heads * (2 * db + 2 * db * db + attentionParameters(config) + feedForwardParameters(config) + 2 * D + connection),
  };
}

function attentionParameters({
  hidden_size: D,
  num_attention_heads: H,
  num_key_value_heads: K,
  head_dim: d,
}: ModelConfig): number {
  return D * d * (2 * H + 2 * K);
}

function feedForwardParameters({ hidden_size: D, intermediate_size: I, num_local_experts: E }: ModelConfig): number {
  return E > 0 ? E * 3 * D * I + E * D : 3 * D * I;
}

/** One connection: A and B, and when dynamic their scales, their functions and the norm. */
function connectionParameters(config: ModelConfig): number {
  const { m, n, db } = widths(config);
  const coefficients = n * (m + n) + n * m;
  return config.virtual_width?.dynamic ? 2 * coefficients + db * (2 * m + n) + db : coefficients;
}
