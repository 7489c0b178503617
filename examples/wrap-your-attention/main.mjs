/** A user's own block (here: single-head attention in plain tfjs ops) inside a wide residual stream. */
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import { Connection, OverWidthEmbedding, Parameters, ReduceOperator } from '@vwn/layers';

await tf.setBackend('cpu');
const [vocabSize, hiddenSize, T] = [12, 16, 10];
const width = { hiddenSize, m: 4, n: 8 };

const parameters = new Parameters({ seed: 1 });
const embedding = new OverWidthEmbedding({ vocabSize, ...width, initializerRange: 0.5 }, parameters.scope('model'));
const connection = new Connection(width, parameters.scope('connection'));
const reduce = new ReduceOperator({ ...width, initializerRange: 0.2 }, parameters.scope('model'));
const weight = (rows, columns) => tf.variable(tf.randomNormal([rows, columns], 0, 0.25, 'float32', 3));
const [wq, wk, wv, unembedding] = [weight(16, 16), weight(16, 16), weight(16, 16), weight(16, vocabSize)];
const positions = tf.variable(tf.randomNormal([T, hiddenSize], 0, 0.5, 'float32', 4));
const future = tf.tensor2d(
  Array.from({ length: T }, (_, i) => Array.from({ length: T }, (_, j) => (j > i ? -1e9 : 0))),
);

/** The block that was there before: [T, D] → [T, D]. It knows nothing of virtual width. */
function attention(x) {
  const input = tf.add(x, positions);
  const scores = tf.matMul(tf.matMul(input, wq), tf.matMul(input, wk), false, true);
  return tf.matMul(tf.softmax(tf.add(tf.mul(scores, 0.25), future)), tf.matMul(input, wv));
}

function loss(ids, targets) {
  const wide = connection.around(embedding.apply(ids), attention);
  const logits = tf.matMul(reduce.apply(wide), unembedding);
  const logProbs = tf.logSoftmax(logits);
  return tf.neg(tf.mean(tf.sum(tf.mul(logProbs, tf.oneHot(targets, vocabSize)), -1)));
}

const sequence = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5];
const ids = tf.tensor1d(sequence.slice(0, T), 'int32');
const targets = tf.tensor1d(sequence.slice(1), 'int32');
let first;
for (let step = 0; step <= 60; step++) {
  const { value, grads } = tf.variableGrads(() => loss(ids, targets));
  for (const variable of Object.values(tf.engine().registeredVariables)) {
    const grad = grads[variable.name];
    if (grad) variable.assign(tf.tidy(() => tf.sub(variable, tf.mul(grad, 0.3))));
  }
  const now = value.dataSync()[0];
  first ??= now;
  if (step % 20 === 0) console.log(`step ${step}  loss ${now.toFixed(3)}`);
  tf.dispose([value, grads]);
  if (step === 60 && !(now < first / 4)) throw new Error('the wrapped block did not learn');
}
