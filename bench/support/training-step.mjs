/** The training step that is timed: a language model on random tokens, its loss, gradients, clipping and AdamW. */
import { setImmediate } from 'node:timers/promises';
import { isFractional } from './flags.mjs';
import { importBuilt, useBackend, usePrecision } from './packages.mjs';

/** The settings of the peer. */
const optimizerOptions = { adam_beta1: 0.9, adam_beta2: 0.95, adam_epsilon: 1e-8, weight_decay: 0.1 };

/** Makes the backend current and loads what a step needs. @returns the packages, and `details` of the backend */
export async function loadPackages(backend, threads) {
  const core = await importBuilt('@vwn/core');
  const tf = await importBuilt('@tensorflow/tfjs-core');
  const details = await useBackend(core, backend, threads);
  return { core, tf, details, ...(await importBuilt('@vwn/layers')), ...(await importBuilt('@vwn/trainer')) };
}

/**
 * A model with its optimizer. `step()` takes one step on a batch that stays the same, as the peer's does, and ends when
 * the update has happened; `timed()` lets go of what the last step left to the event loop, as training does between steps.
 */
export function startTraining(packages, sizes, width, precision) {
  const { core, LanguageModel, AdamWOptimizer, CapturedTrainingStep, trainingStep } = packages;
  usePrecision(core, precision);
  const model = new LanguageModel(modelConfig(core, sizes, width), { seed: 0 });
  const optimizer = new AdamWOptimizer(optimizerOptions);
  const variables = model.trainableVariables();
  const [, smallest] = variables.reduce((a, b) => (b[1].size < a[1].size ? b : a));
  const ids = randomTokens(core, sizes);
  // Packages of a commit before captured steps take each step anew.
  const captured = CapturedTrainingStep && new CapturedTrainingStep(model, optimizer);
  const settings = { lr: 1e-3, maxGradNorm: 1 };
  const finished = (result) => {
    smallest.dataSync(); // backends that queue work have finished the update once a parameter can be read
    return result;
  };
  const uncaptured = () => finished(trainingStep(model, optimizer, [ids], settings));
  const step = captured ? () => finished(captured.run([ids], settings)) : uncaptured;
  return {
    model,
    optimizer,
    step,
    uncaptured,
    timed: () => timed(step),
    parameters: variables.reduce((sum, [, { size }]) => sum + size, 0),
    dispose() {
      captured?.dispose();
      optimizer.dispose();
      model.dispose();
    },
  };
}

export function modelConfig(core, { hidden, layers, heads, ffn, vocab, seq, mtp }, { m, n }) {
  const reduceNorm = isFractional({ m, n }) ? { reduce_norm: 'none' } : {};
  return core.parseModelConfig({
    hidden_size: hidden,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    intermediate_size: ffn,
    vocab_size: vocab,
    max_position_embeddings: seq,
    num_nextn_predict_layers: mtp,
    ...(m > 0 ? { virtual_width: { m, n, ...reduceNorm } } : {}),
  });
}

/** What tf.memory() counts, and the most memory that this process had resident, in bytes. */
export function memoryNow(tf) {
  const numbers = Object.entries(tf.memory()).filter(([, value]) => typeof value === 'number');
  return { ...Object.fromEntries(numbers), maxResidentBytes: process.resourceUsage().maxRSS * 1024 };
}

/** @returns {Int32Array[]} B sequences of T + 1 (+ what multi-token heads look ahead) tokens */
function randomTokens(core, { vocab, seq, batch, mtp }) {
  const rng = core.Rng.fromSeed(0);
  return Array.from({ length: batch }, () => Int32Array.from({ length: seq + 1 + mtp }, () => rng.int(vocab)));
}

async function timed(step) {
  await setImmediate();
  const start = performance.now();
  const result = step();
  return { ms: performance.now() - start, result };
}
