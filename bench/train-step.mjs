/**
 * Times whole training steps (forward, backward, clip, AdamW) of a language model on random tokens.
 *
 *   node bench/train-step.mjs --backend vwn-cpu --precision fp32 --precision bf16 --mn 0,0 --mn 8,64
 *
 *   --backend NAME      vwn-cpu, tensorflow, wasm, cpu; default: the first that works here
 *   --precision P       fp32 (default) or bf16; may be repeated
 *   --mn M,N            virtual width, 0,0 is the plain transformer; may be repeated; default 0,0 and 8,64
 *   --hidden --layers --heads --ffn --vocab --seq --batch --mtp    sizes; default 256 6 4 704 4096 256 8 0
 *   --warmup --steps    uncounted and counted steps; default 2 and 5
 *   --threads N         for native backends; default: all cores
 *   --profile           after the counted steps, as many with time per kernel (table on stderr)
 *   --shapes            with --profile: a row for each combination of input shapes
 *
 * One JSON line a configuration on stdout.
 */
import { readFileSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import {
  helpOf,
  isFractional,
  parseWidths,
  requirePrecisions,
  sharedFlags,
  sizesOf,
  wholeNumber,
} from './support/flags.mjs';
import { importBuilt, useBackend, usePrecision } from './support/packages.mjs';
import { profileText, startProfile } from './support/profile.mjs';
import { quartiles, round } from './support/statistics.mjs';

const options = {
  ...sharedFlags,
  backend: { type: 'string' },
  profile: { type: 'boolean', default: false },
  shapes: { type: 'boolean', default: false },
};

/** The settings of the peer. */
const optimizerOptions = { adam_beta1: 0.9, adam_beta2: 0.95, adam_epsilon: 1e-8, weight_decay: 0.1 };

try {
  await main();
} catch (error) {
  // The message says what to do; a stack would hide it.
  console.error(process.env.DEBUG ? error : error.message);
  process.exitCode = 1;
}

async function main() {
  const { values } = parseArgs({ options });
  if (values.help) return console.log(helpOf(readFileSync(new URL(import.meta.url), 'utf8')));
  const sizes = sizesOf(values);
  const widths = values.mn.map(parseWidths);
  const precisions = requirePrecisions(values.precision);
  const threads = values.threads && wholeNumber(values.threads, 'threads');
  const core = await importBuilt('@vwn/core');
  const tf = await importBuilt('@tensorflow/tfjs-core');
  const details = await useBackend(core, values.backend, threads);
  const packages = { core, tf, ...(await importBuilt('@vwn/layers')), ...(await importBuilt('@vwn/trainer')) };
  console.error(`${tf.getBackend()}: ${JSON.stringify(details)}`);
  for (const width of widths)
    for (const precision of precisions) {
      usePrecision(core, precision);
      const line = await timeConfiguration(packages, sizes, width, values);
      console.log(
        JSON.stringify({ peer: 'vwn', device: deviceOf(tf), mode: tf.getBackend(), details, precision, ...line }),
      );
    }
}

function deviceOf(tf) {
  return tf.getBackend() === 'vwn-cuda' || tf.backend().isUsingGpuDevice ? 'gpu' : 'cpu';
}

async function timeConfiguration(packages, sizes, width, { profile, shapes }) {
  const { tf, LanguageModel, AdamWOptimizer } = packages;
  const model = new LanguageModel(modelConfig(packages, sizes, width), { seed: 0 });
  const optimizer = new AdamWOptimizer(optimizerOptions);
  try {
    const step = stepOn(packages, model, optimizer, sizes);
    // A profile needs every composed kernel to have registered itself, which the first step does.
    const warmup = Math.max(sizes.warmup, profile ? 1 : 0);
    for (let i = 0; i < warmup; i++) await timed(step);
    const times = [];
    let loss = Number.NaN;
    for (let i = 0; i < sizes.steps; i++) {
      const { ms, result } = await timed(step);
      times.push(ms);
      loss = result.loss;
    }
    const line = report(tf, model, sizes, width, times, loss);
    if (profile) await printProfile(tf, model, optimizer, step, { shapes, steps: sizes.steps, median: line.step_ms });
    return line;
  } finally {
    optimizer.dispose();
    model.dispose();
  }
}

function modelConfig({ core }, { hidden, layers, heads, ffn, vocab, seq, mtp }, { m, n }) {
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

/** One step on a batch that stays the same, as the peer's does. */
function stepOn({ core, trainingStep }, model, optimizer, { vocab, seq, batch, mtp }) {
  const rng = core.Rng.fromSeed(0);
  const ids = Array.from({ length: batch }, () => Int32Array.from({ length: seq + 1 + mtp }, () => rng.int(vocab)));
  const [, smallest] = model.trainableVariables().reduce((a, b) => (b[1].size < a[1].size ? b : a));
  return () => {
    const result = trainingStep(model, optimizer, [ids], { lr: 1e-3, maxGradNorm: 1 });
    smallest.dataSync(); // backends that queue work have finished the update once a parameter can be read
    return result;
  };
}

async function timed(step) {
  await setImmediate(); // let go of what the last step left to the event loop, as training does between steps
  const start = performance.now();
  const result = step();
  return { ms: performance.now() - start, result };
}

function report(tf, model, { batch, seq }, { m, n }, times, loss) {
  const { min, q1, median, q3, max } = quartiles(times);
  const memory = Object.fromEntries(Object.entries(tf.memory()).filter(([, value]) => typeof value === 'number'));
  return {
    m,
    n,
    parameters: model.trainableVariables().reduce((sum, [, { size }]) => sum + size, 0),
    step_ms: round(median),
    tokens_per_s: round((batch * seq * 1000) / median, 1),
    step_ms_min: round(min),
    step_ms_q1: round(q1),
    step_ms_q3: round(q3),
    step_ms_max: round(max),
    loss: round(loss, 5),
    memory: { ...memory, maxResidentBytes: process.resourceUsage().maxRSS * 1024 },
  };
}

async function printProfile(tf, model, optimizer, step, { shapes, steps, median }) {
  const profile = startProfile(tf, model, optimizer, { shapes });
  for (let i = 0; i < steps; i++) {
    await setImmediate();
    profile.step(step);
  }
  console.error(`\n${profileText(await profile.stop(), median)}\n`);
}
