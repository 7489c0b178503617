import { initializers, linear, linearCrossEntropy, meanCrossEntropy, widths, type ModelConfig } from '@vwn/core';
import { add, addN, concat, mul, reshape, slice, type Scalar, type Tensor, type Variable } from '@tensorflow/tfjs-core';
import { DecoderLayer, type ForwardContext } from './decoder-layer';
import { initialScales } from './initial-scales';
import { KeyValueCache } from './key-value-cache';
import { MultiTokenHead } from './mtp';
import { RmsNormLayer } from './norm';
import { OverWidthEmbedding } from './over-width-embedding';
import { Parameters, type ParametersOptions } from './parameters';
import { ReduceOperator } from './reduce-operator';
import { runSublayers } from './residual-stream';
import { idsTensor, type TokenIds } from './token-ids';

export interface ModelLoss {
  /** NTP + λ · mean(MTP), plus the weighted load-balancing loss of experts. */
  readonly total: Scalar;
  /** Next-token loss, next-2-token loss, …: means over the batch, in nats. */
  readonly losses: readonly Scalar[];
  /** Mean load-balancing loss of the layers; only with experts. */
  readonly auxiliary?: Scalar;
  /** Share of the tokens that each expert got, [layers with experts, E]; see {@link unreachedExperts}. */
  readonly expertShares?: Tensor;
}

interface Auxiliary {
  readonly loadBalance: Scalar;
  readonly shares: Tensor;
}

/**
 * A causal language model: plain (Llama, Mixtral) or with virtual width, dense or with experts, with any depth of
 * multi-token prediction. Parameters carry the names of checkpoints. Tensors that its methods return belong to the
 * caller; wrap calls in `tf.tidy`.
 */
export class LanguageModel {
  readonly parameters: Parameters;
  private readonly embedding: OverWidthEmbedding;
  private readonly layers: readonly DecoderLayer[];
  private readonly reduce: ReduceOperator | undefined;
  private readonly norm: RmsNormLayer;
  private readonly heads: readonly MultiTokenHead[];
  private readonly unembedding: Variable;

  constructor(
    readonly config: ModelConfig,
    options: ParametersOptions = {},
  ) {
    this.parameters = new Parameters(options);
    try {
      const model = this.parameters.scope('model');
      const { D, m, n } = widths(config);
      const scales = initialScales(config);
      const { vocab_size: vocabSize, rms_norm_eps: eps, virtual_width: virtual } = config;
      const { embedding: mode = 'wide' } = virtual ?? {};
      const shared = { hiddenSize: D, m, n };
      this.embedding = new OverWidthEmbedding(
        { ...shared, vocabSize, mode, initializerRange: scales.embedding },
        model,
      );
      this.layers = Array.from(
        { length: config.num_hidden_layers },
        (_, i) => new DecoderLayer(config, model.scope(`layers.${i}`)),
      );
      if (virtual)
        this.reduce = new ReduceOperator(
          { ...shared, norm: virtual.reduce_norm, eps, initializerRange: scales.reduce },
          model,
        );
      this.norm = new RmsNormLayer({ width: D, eps }, model.scope('norm'));
      this.heads = Array.from(
        { length: config.num_nextn_predict_layers },
        (_, k) => new MultiTokenHead(config, model.scope(`mtp.${k}`)),
      );
      this.unembedding = config.tie_word_embeddings
        ? this.embedding.table
        : this.parameters.variable('lm_head.weight', [vocabSize, D], initializers.normal(scales.input));
    } catch (error) {
      this.parameters.dispose(); // a loaded tensor of the wrong shape must not leave the others behind
      throw error;
    }
  }

  /**
   * Logits of the next token at every position: ids int32 [B, T] → [B, T, V]. With a cache, ids are the tokens after
   * those it holds, and their keys and values are added to it.
   * @throws ShapeError for ids out of the vocabulary (checked when given as numbers)
   */
  logits(ids: TokenIds, cache?: KeyValueCache): Tensor {
    return linear(this.headInput(this.states(ids, cache)), this.unembedding);
  }

  /**
   * Logits of the token after the last: ids int32 [B, T] → [B, V], as {@link logits} without those of other positions, which
   * a long prompt does not need.
   * @throws ShapeError as logits
   */
  lastLogits(ids: TokenIds, cache?: KeyValueCache): Tensor {
    const h = this.states(ids, cache);
    const [B = 0, T = 0, wide = 0] = h.shape;
    const last = T === 1 ? h : slice(h, [0, T - 1, 0], [B, 1, wide]);
    return reshape(linear(this.headInput(last), this.unembedding), [B, this.config.vocab_size]);
  }

  /**
   * Training loss: ids int32 [B, T + 1 + K] for K multi-token heads; depth k predicts token t+k+1 from position t.
   * @throws ShapeError
   */
  loss(ids: TokenIds): ModelLoss {
    const auxiliary: Auxiliary[] = [];
    const context: ForwardContext = {
      auxiliary: (loadBalance, shares) => void auxiliary.push({ loadBalance, shares }),
    };
    const input = idsTensor(ids, this.config.vocab_size, 2 + this.heads.length);
    const T = (input.shape[1] as number) - 1 - this.heads.length;
    let h = this.forward(window(input, 0, T), context);
    const losses = [meanCrossEntropy(...this.rows(h, window(input, 1, T)))];
    this.heads.forEach((head, i) => {
      const k = i + 1;
      h = head.apply(h, this.embedding.apply(window(input, k, T)), context);
      losses.push(meanCrossEntropy(...this.rows(h, window(input, k + 1, T))));
    });
    return this.total(losses, auxiliary);
  }

  /** −log p of each next token: ids int32 [B, T + 1] → [B, T], in nats; no logits are stored. */
  tokenLosses(ids: TokenIds): Tensor {
    const input = idsTensor(ids, this.config.vocab_size, 2);
    const [B = 0, length = 0] = input.shape;
    const h = this.forward(window(input, 0, length - 1), {});
    return reshape(linearCrossEntropy(...this.rows(h, window(input, 1, length - 1))), [B, length - 1]);
  }

  trainableVariables(): [string, Variable][] {
    return this.parameters.entries();
  }

  /** An empty KV cache for {@link logits}. */
  newCache(): KeyValueCache {
    return new KeyValueCache();
  }

  dispose(): void {
    this.parameters.dispose();
  }

  /** Over-width states of ids that follow those of the cache, if there is one, which then holds them too. */
  private states(ids: TokenIds, cache?: KeyValueCache): Tensor {
    const input = idsTensor(ids, this.config.vocab_size);
    const h = this.forward(input, {}, cache);
    cache?.advance(input.shape[1] as number);
    return h;
  }

  private forward(ids: Tensor, context: ForwardContext, cache?: KeyValueCache): Tensor {
    const sublayers = this.layers.flatMap((layer, i) =>
      layer.sublayers(cache ? { ...context, slot: { cache, layer: i } } : context),
    );
    return runSublayers(this.embedding.apply(ids), sublayers);
  }

  /** Over-width state → the input of the unembedding, Norm(Reduce(H')), [..., D]. */
  private headInput(h: Tensor): Tensor {
    return this.norm.apply(this.reduce ? this.reduce.apply(h) : h);
  }

  /** Over-width state and targets [B, T] → what cross-entropy takes: hidden [B·T, D], unembedding, targets [B·T]. */
  private rows(h: Tensor, targets: Tensor): [Tensor, Tensor, Tensor] {
    const hidden = reshape(this.headInput(h), [targets.size, this.config.hidden_size]);
    return [hidden, this.unembedding, reshape(targets, [targets.size])];
  }

  private total(losses: readonly Scalar[], auxiliary: readonly Auxiliary[]): ModelLoss {
    const [next, ...later] = losses as [Scalar, ...Scalar[]];
    const { mtp_loss_weight: lambda, router_aux_loss_coef: coefficient } = this.config;
    let total = later.length === 0 ? next : add(next, mul(addN(later), lambda / later.length));
    if (auxiliary.length === 0) return { total: total as Scalar, losses };
    const balance = mul(addN(auxiliary.map((each) => each.loadBalance)), 1 / auxiliary.length) as Scalar;
    const expertShares = reshape(concat(auxiliary.map((each) => each.shares)), [auxiliary.length, -1]);
    if (coefficient > 0) total = add(total, mul(balance, coefficient));
    return { total: total as Scalar, losses, auxiliary: balance, expertShares };
  }
}

/** Columns [from, from + length) of ids [B, *]. */
function window(ids: Tensor, from: number, length: number): Tensor {
  return slice(ids, [0, from], [ids.shape[0] as number, length]);
}
