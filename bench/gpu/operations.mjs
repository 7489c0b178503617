/**
 * What kernels.mjs times: sizes of a GPU's models, inputs made on the device, and what each direction moves or computes.
 */
import * as tf from '@tensorflow/tfjs-core';
import * as core from '@vwn/core';

/** [m, n] of connections and widths of the backbone; more of a state than a cache holds. */
const connections = {
  mn: [
    [2, 3],
    [4, 16],
    [8, 32],
    [8, 64],
  ],
  D: [1024, 2048, 4096],
  tokens: 16384,
};
/** B, T, H, K, d. */
const attentions = [
  [16, 1024, 12, 12, 64],
  [8, 2048, 16, 16, 64],
  [8, 2048, 16, 16, 128],
  [4, 4096, 32, 8, 128],
];
/** Rows, in, out. */
const linears = [
  [16384, 768, 2304],
  [16384, 768, 3072],
  [16384, 3072, 768],
  [8192, 4096, 4096],
];

/** All of them: { title, op, sizes, inputs(), run(inputs), hasGradient(name of an input), bytes or flops of either direction }. */
export function operations(tiny) {
  if (tiny)
    return [
      connectionOf([2, 3], 32, 8),
      connectionOf([4, 16], 64, 4),
      attentionOf([1, 8, 2, 1, 8]),
      linearOf([8, 16, 8], 'float32'),
      linearOf([8, 16, 8], 'bf16'),
    ];
  return [
    ...connections.D.flatMap((D) => connections.mn.map((mn) => connectionOf(mn, D, connections.tokens))),
    ...attentions.map(attentionOf),
    ...['float32', 'bf16'].flatMap((type) => linears.map((sizes) => linearOf(sizes, type))),
  ];
}

/**
 * A dynamic step with the sublayer's norm. Forward reads the state and the sublayer's output and writes the next state and input;
 * backward reads both states, the output and the gradients of what forward wrote, and writes those of what it read.
 */
function connectionOf([m, n], D, tokens) {
  const db = D / m;
  const eps = 1e-6;
  const unit = 2 * D * tokens;
  return {
    title: `connection (${m},${n}) D=${D}, ${tokens} tokens`,
    op: 'connection',
    inputs: () => ({
      h: activations(tokens, n * db),
      out: activations(tokens, D),
      norm: tf.ones([D]),
      ...parametersOf('previous', m, n, db),
      ...parametersOf('next', m, n, db),
    }),
    run: ({ h, out, norm, ...rest }) => {
      const [previous, next] = ['previous', 'next'].map((name) => connectionFrom(rest, name));
      const step = core.connectionStep(h, out, previous, next, { m, n, eps }, { weight: norm, eps });
      return [step.h, step.x];
    },
    // What writes takes no part in the next connection's read.
    hasGradient: (name) => !/^next\..*beta/i.test(name),
    bytes: { forward: unit * (2 * (n / m) + 2), backward: unit * (4 * (n / m) + 3) },
  };
}

const shapesOf = (m, n, db) => ({
  staticAlpha: [n, m + n],
  staticBeta: [n, m],
  normWeight: [db],
  alphaFn: [db, m + n],
  betaFn: [db, m],
  alphaScale: [n, m + n],
  betaScale: [n, m],
});

function parametersOf(name, m, n, db) {
  const of = Object.entries(shapesOf(m, n, db)).map(([key, shape]) => [
    `${name}.${key}`,
    tf.randomNormal(shape, 0, 0.1),
  ]);
  return Object.fromEntries(of);
}

function connectionFrom(inputs, name) {
  const { staticAlpha, staticBeta, ...dynamic } = Object.fromEntries(
    Object.keys(shapesOf(1, 1, 1)).map((key) => [key, inputs[`${name}.${key}`]]),
  );
  return { staticAlpha, staticBeta, dynamic };
}

/** FLOPs as PyTorch counts them: two products forward and five backward, half of each under the causal mask. */
function attentionOf([B, T, H, K, d]) {
  const product = B * H * T * T * d;
  const heads = (count) => tf.reshape(activations(B * T, count * d), [B, T, count, d]);
  return {
    title: `attention B=${B} T=${T} H=${H} K=${K} d=${d}`,
    op: 'attention',
    sizes: { B, T, H, K, d },
    inputs: () => ({ q: heads(H), k: heads(K), v: heads(K) }),
    run: ({ q, k, v }) => [core.causalAttention(q, k, v)],
    flops: { forward: 2 * product, backward: 5 * product },
  };
}

/** float32 weights are rounded in each call, as in training; bf16 ones leave the products alone. */
function linearOf([rows, width, out], type) {
  const product = 2 * rows * width * out;
  return {
    title: `linear [${rows}, ${width}] to ${out}, ${type} weights`,
    op: 'linear',
    sizes: { rows, width, out },
    inputs: () => ({
      x: activations(rows, width),
      weight: type === 'bf16' ? activations(out, width) : tf.randomNormal([out, width], 0, 0.02),
    }),
    run: ({ x, weight }) => [core.linear(x, weight)],
    flops: { forward: product, backward: 2 * product },
  };
}

/** Rows as a model stores activations, made on the device: of a few random ones, over and over. */
function activations(rows, width) {
  const some = tf.randomNormal([Math.min(rows, 61), width]);
  return core.embeddingLookup(some, tf.mod(tf.range(0, rows, 1, 'int32'), tf.scalar(some.shape[0], 'int32')));
}
