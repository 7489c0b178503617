/** A GPT with virtual width as small as it gets: every operation of @vwn/core and some stock kernels, in one training step. */
import * as tf from '@tensorflow/tfjs-core';
import {
  adamWAll,
  causalAttention,
  connectionRead,
  connectionStep,
  connectionWrite,
  embeddingLookup,
  globalNorm,
  linear,
  linearCrossEntropy,
  Rng,
  rmsNorm,
  rotaryEmbedding,
  swiGlu,
  type AdamWParameter,
  type ConnectionParameters,
} from '@vwn/core';

export interface ModelSizes {
  readonly batch: number;
  readonly tokens: number;
  readonly vocabulary: number;
  readonly heads: number;
  readonly m: number;
  readonly n: number;
  readonly db: number;
}

type Weights = Readonly<Record<string, tf.Variable>>;

function shapesOf({ vocabulary, m, n, db }: ModelSizes): Record<string, number[]> {
  const D = m * db;
  const connection = (name: string) => ({
    [`${name}.staticAlpha`]: [n, m + n],
    [`${name}.staticBeta`]: [n, m],
    [`${name}.normWeight`]: [db],
    [`${name}.alphaFn`]: [db, m + n],
    [`${name}.betaFn`]: [db, m],
    [`${name}.alphaScale`]: [n, m + n],
    [`${name}.betaScale`]: [n, m],
  });
  return {
    table: [vocabulary, n * db],
    ...connection('first'),
    ...connection('second'),
    norm: [D],
    ...Object.fromEntries(['q', 'k', 'v', 'o', 'gate', 'up', 'down'].map((name) => [name, [D, D]])),
    head: [vocabulary, n * db],
  };
}

function connectionOf(w: Weights, name: string): ConnectionParameters {
  const get = (part: string) => w[`${name}.${part}`] as tf.Variable;
  const dynamic = ['normWeight', 'alphaFn', 'betaFn', 'alphaScale', 'betaScale'].map((part) => [part, get(part)]);
  return {
    staticAlpha: get('staticAlpha'),
    staticBeta: get('staticBeta'),
    dynamic: Object.fromEntries(dynamic) as NonNullable<ConnectionParameters['dynamic']>,
  };
}

function attention(x: tf.Tensor, w: Weights, { batch, tokens, heads }: ModelSizes): tf.Tensor {
  const split = (name: string) => tf.reshape(linear(x, w[name] as tf.Tensor), [batch, tokens, heads, -1]);
  const [q, k] = ['q', 'k'].map((name) => rotaryEmbedding(split(name), { theta: 1e4 })) as [tf.Tensor, tf.Tensor];
  return linear(tf.reshape(causalAttention(q, k, split('v')), x.shape), w.o as tf.Tensor);
}

function feedForward(x: tf.Tensor, w: Weights): tf.Tensor {
  const [gate, up] = [linear(x, w.gate as tf.Tensor), tf.relu(linear(x, w.up as tf.Tensor))];
  return linear(swiGlu(gate, up), w.down as tf.Tensor);
}

function lossOf(w: Weights, ids: tf.Tensor, targets: tf.Tensor, sizes: ModelSizes): tf.Scalar {
  const { m, n, db } = sizes;
  const connection = { m, n, eps: 1e-5 };
  const [first, second] = [connectionOf(w, 'first'), connectionOf(w, 'second')];
  const norm = (x: tf.Tensor) => rmsNorm(x, w.norm as tf.Tensor, 1e-5);
  const h = embeddingLookup(w.table as tf.Tensor, ids);
  const x = connectionRead(h, first, connection);
  const step = connectionStep(h, attention(norm(x), w, sizes), first, second, connection);
  const last = connectionWrite(step.h, feedForward(norm(step.x), w), second, connection);
  const hidden = tf.reshape(tf.tanh(last), [-1, n * db]);
  return tf.mean(linearCrossEntropy(hidden, w.head as tf.Tensor, targets)) as tf.Scalar;
}

export class SmallModel {
  private readonly weights: Weights;
  private readonly moments: ReadonlyMap<string, readonly [tf.Variable, tf.Variable]>;
  private readonly ids: tf.Tensor;
  private readonly targets: tf.Tensor;
  private steps = 0;

  constructor(
    private readonly sizes: ModelSizes,
    seed: number,
  ) {
    const rng = Rng.fromSeed(seed);
    const shapes = Object.entries(shapesOf(sizes));
    const variable = (values: Float32Array, shape: number[]) => tf.tidy(() => tf.variable(tf.tensor(values, shape)));
    const size = (shape: number[]) => shape.reduce((product, each) => product * each, 1);
    this.weights = Object.fromEntries(
      shapes.map(([name, shape]) => [name, variable(rng.fork(name).normals(size(shape), 0.3), shape)]),
    );
    const zeros = (shape: number[]) => variable(new Float32Array(size(shape)), shape);
    this.moments = new Map(shapes.map(([name, shape]) => [name, [zeros(shape), zeros(shape)]]));
    const rows = sizes.batch * sizes.tokens;
    const tokens = Int32Array.from({ length: rows + 1 }, () => rng.int(sizes.vocabulary));
    this.ids = tf.tensor(tokens.slice(0, rows), [sizes.batch, sizes.tokens], 'int32');
    this.targets = tf.tensor(tokens.slice(1), [rows], 'int32');
  }

  /** One update by AdamW with clipping. Returns the loss before it. */
  step(): number {
    return tf.tidy(() => {
      const names = Object.keys(this.weights);
      const list = names.map((name) => this.weights[name] as tf.Variable);
      const { value, grads } = tf.variableGrads(() => lossOf(this.weights, this.ids, this.targets, this.sizes), list);
      const gradients = list.map(({ name }) => grads[name] ?? tf.zeros([0]));
      const norm = globalNorm(gradients).dataSync()[0] as number;
      this.steps++;
      const parameters = names.map((name, i): AdamWParameter => {
        const [m, v] = this.moments.get(name) as [tf.Variable, tf.Variable];
        return {
          param: list[i] as tf.Variable,
          grad: gradients[i] as tf.Tensor,
          m,
          v,
          weightDecay: 0.01,
          step: this.steps,
        };
      });
      adamWAll(parameters, { lr: 1e-3, beta1: 0.9, beta2: 0.99, eps: 1e-8, gradScale: Math.min(1, 1 / norm) });
      return value.dataSync()[0] as number;
    });
  }

  /** All weights and moments, in one order, as they are read from the backend. */
  read(): Float32Array[] {
    return this.variables().map((each) => each.dataSync() as Float32Array);
  }

  dispose(): void {
    tf.dispose([...this.variables(), this.ids, this.targets]);
  }

  private variables(): tf.Variable[] {
    return [...Object.values(this.weights), ...[...this.moments.values()].flat()];
  }
}
