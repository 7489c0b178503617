/**
 * Cost model of §3.5: floating-point operations, parameters, activation memory and memory traffic of a model, beside
 * the plain model of the same backbone and the naively widened one. Multiplications and additions count apart.
 */
import { requirePositiveWhole, requireShare } from './arguments';
import { widths, type ModelConfig } from './config';
import { parameterParts } from './cost-parameters';

export interface CostOptions {
  /** T, for attention's share and for activation memory. */
  readonly sequenceLength?: number;
  readonly batchSize?: number;
  /** η, the share of width-connection inputs that is kept rather than computed again in the backward pass. */
  readonly eta?: number;
}

/** FLOPs of a forward pass a token, by part. */
export interface ForwardFlops {
  /** Projections, attention over half the context on average, feed-forward or active experts, of all layers. */
  readonly backbone: number;
  /** The linear map of an `expand` embedding. */
  readonly embedding: number;
  /** Connections of all sublayers: the four rows of §3.5's table. */
  readonly connectionNorm: number;
  readonly dynamicCoefficients: number;
  readonly widthConnection: number;
  readonly depthConnection: number;
  readonly reduce: number;
  /** Final norm and unembedding. */
  readonly unembedding: number;
  /** Multi-token heads: mixing, one layer, reduce and unembedding each. */
  readonly multiToken: number;
  readonly total: number;
}

export interface CostColumn {
  readonly parameters: number;
  /** Forward, a token. */
  readonly flops: ForwardFlops;
  /** Forward and backward, a token: three times forward. */
  readonly trainingFlops: number;
  /** 16-bit activations of one micro-batch under selective recomputation (34D bytes a token a plain layer). */
  readonly activationBytes: number;
}

/** Activation traffic a token a sublayer in units of D elements, forward and backward (docs/architecture.md). */
export interface Traffic {
  /** Every operation apart: 23r + 6. */
  readonly opByOp: number;
  /** Norm, coefficients and width connection in one kernel: 8r + 5. */
  readonly paper: number;
  /** Depth and the next width connection in one kernel, carry never stored: 5r + 5. */
  readonly fused: number;
}

export interface CostReport {
  readonly options: Required<CostOptions>;
  readonly model: CostColumn;
  /** The same backbone without virtual width. */
  readonly plain: CostColumn;
  /** The backbone itself made r times as wide (hidden and intermediate size, heads of the same size). */
  readonly widened: CostColumn;
  readonly r: number;
  readonly parametersByPart: Readonly<Record<string, number>>;
  readonly traffic: Traffic;
}

/** @throws ConfigError for options that cannot be */
export function cost(config: ModelConfig, options: CostOptions = {}): CostReport {
  const full = { sequenceLength: 2048, batchSize: 1, eta: 0.5, ...options };
  requirePositiveWhole('cost', 'sequenceLength', full.sequenceLength);
  requirePositiveWhole('cost', 'batchSize', full.batchSize);
  requireShare('cost', 'eta', full.eta);
  const { r } = widths(config);
  return {
    options: full,
    model: column(config, full),
    plain: column(withoutVirtualWidth(config), full),
    widened: column(widen(config, r), full),
    r,
    parametersByPart: parameterParts(config),
    traffic: { opByOp: 23 * r + 6, paper: 8 * r + 5, fused: 5 * r + 5 },
  };
}

function column(config: ModelConfig, options: Required<CostOptions>): CostColumn {
  const flops = forwardFlops(config, options.sequenceLength);
  const parameters = Object.values(parameterParts(config)).reduce((sum, each) => sum + each, 0);
  return { parameters, flops, trainingFlops: 3 * flops.total, activationBytes: activationBytes(config, options) };
}

function forwardFlops(config: ModelConfig, T: number): ForwardFlops {
  const { D, n, overWidth, db, virtual } = widths(config);
  const { num_hidden_layers: L, num_nextn_predict_layers: heads } = config;
  const connection = connectionFlops(config);
  const reduce = virtual ? 2 * D * overWidth + (config.virtual_width?.reduce_norm === 'none' ? 0 : 4 * overWidth) : 0;
  const unembedding = 2 * config.vocab_size * D + 4 * D;
  const mixing = n * (2 * 4 * db + 2 * db * 2 * db);
  const connections = Object.values(connection).reduce((sum, each) => sum + 2 * each, 0);
  const parts = {
    backbone: L * layerFlops(config, T),
    embedding: config.virtual_width?.embedding === 'expand' ? (1 + heads) * 2 * D * overWidth : 0,
    connectionNorm: 2 * L * connection.norm,
    dynamicCoefficients: 2 * L * connection.coefficients,
    widthConnection: 2 * L * connection.width,
    depthConnection: 2 * L * connection.depth,
    reduce,
    unembedding,
    multiToken: heads * (mixing + layerFlops(config, T) + connections + reduce + unembedding),
  };
  return { ...parts, total: Object.values(parts).reduce((sum, each) => sum + each, 0) };
}

/** One connection a token: norm 4(n/m)D, coefficients 2(2m+n)(n/m)D, width 2(m+n)(n/m)D, depth 2nD. */
export function connectionFlops(config: ModelConfig): Record<'norm' | 'coefficients' | 'width' | 'depth', number> {
  const { D, m, n, r, virtual } = widths(config);
  if (!virtual) return { norm: 0, coefficients: 0, width: 0, depth: 0 };
  const dynamic = config.virtual_width?.dynamic ? 1 : 0;
  return {
    norm: dynamic * 4 * r * D,
    coefficients: dynamic * 2 * (2 * m + n) * r * D,
    width: 2 * (m + n) * r * D,
    depth: 2 * n * D,
  };
}

/** Attention and feed-forward of one layer a token; independent of the virtual width. */
function layerFlops(config: ModelConfig, T: number): number {
  const { hidden_size: D, intermediate_size: I, num_attention_heads: H, num_key_value_heads: K, head_dim: d } = config;
  const projections = 2 * D * d * (2 * H + 2 * K);
  const scores = 2 * 2 * H * d * (T / 2); // q·k and p·v, over half the context on average
  const experts = config.num_local_experts > 0 ? config.num_experts_per_tok : 1;
  const routing = config.num_local_experts > 0 ? 2 * D * config.num_local_experts : 0;
  return projections + scores + experts * 2 * 3 * D * I + routing + 2 * 4 * D;
}

/** 34D bytes a token a plain layer under selective recomputation; virtual width adds η·4(n/m)D. */
function activationBytes(config: ModelConfig, { sequenceLength, batchSize, eta }: Required<CostOptions>): number {
  const { D, r, virtual } = widths(config);
  const layers = config.num_hidden_layers + config.num_nextn_predict_layers;
  return sequenceLength * batchSize * layers * (34 * D + (virtual ? eta * 4 * r * D : 0));
}

function withoutVirtualWidth({ virtual_width: _virtual, ...config }: ModelConfig): ModelConfig {
  return config;
}

function widen(config: ModelConfig, r: number): ModelConfig {
  const wide = (size: number) => Math.round(size * r);
  return {
    ...withoutVirtualWidth(config),
    hidden_size: wide(config.hidden_size),
    intermediate_size: wide(config.intermediate_size),
    num_attention_heads: wide(config.num_attention_heads),
    num_key_value_heads: wide(config.num_key_value_heads),
  };
}
