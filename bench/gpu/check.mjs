/**
 * Is vwn-cuda right on this GPU? The whole case table forward and backward, in both precisions, and the losses of small
 * models' first steps, captured as training has them, against TensorFlow.js's own `cpu` backend in float32. Exits with 1
 * where anything is off.
 *
 *   node check.mjs [--steps 100] [--out FILE]
 */
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import { Rng, parseModelConfig, setPrecision } from '@vwn/core';
import { evaluateCase, goldenTolerance, maxRelativeError, opCases } from '@vwn/core/testing';
import { loadLibrary } from '@vwn/kernels-cuda';
import { LanguageModel } from '@vwn/layers';
import { AdamWOptimizer, CapturedTrainingStep } from '@vwn/trainer';
import { resolve } from 'node:path';
import { wholeNumber } from '../support/flags.mjs';
import { runScript, writeResult } from '../support/script.mjs';

/** bf16 as packages/kernels-cpu/test/bf16.test.ts has it: a rounding is 0.2 %, and a gradient has seen three. */
const tolerances = { fp32: goldenTolerance, bf16: { forward: 1e-2, gradient: 2e-2 } };
const widths = [undefined, { m: 2, n: 3, reduce_norm: 'none' }, { m: 4, n: 16 }];

await runScript(
  import.meta.url,
  { out: { type: 'string' }, steps: { type: 'string', default: '100' } },
  async ({ out, steps }) => {
    const report = await checkAll(wholeNumber(steps, 'steps', 1));
    const failed = [...report.cases, ...report.losses].filter(({ passed }) => !passed);
    for (const each of failed) process.stdout.write(`FAILED ${JSON.stringify(each)}\n`);
    process.stdout.write(
      `${report.device}: ${report.cases.length} cases and ${report.losses.length} models, ${failed.length} failed\n`,
    );
    if (out) writeResult(resolve(out), { ...report, failed: failed.length });
    if (failed.length > 0) process.exitCode = 1;
  },
);

async function checkAll(steps) {
  const report = { device: loadLibrary().instructionSet, cases: [], losses: [] };
  for (const precision of ['fp32', 'bf16']) {
    for (const opCase of opCases.filter(({ size }) => size === 'small'))
      report.cases.push(await checkCase(opCase, precision));
    for (const width of widths) report.losses.push(await checkLosses(width, precision, steps));
  }
  return report;
}

async function on(backend, precision, work) {
  await tf.setBackend(backend);
  if (backend === 'vwn-cuda') setPrecision(precision);
  return work();
}

async function checkCase(opCase, precision) {
  // Several seeds in bf16: its rounding of the one number of a gradient that cancels says nothing alone.
  const seeds = precision === 'bf16' ? [0, 1, 2, 3] : [0];
  const evaluate = () => seeds.map((seed) => evaluateCase(opCase, seed));
  const want = await on('cpu', precision, evaluate);
  const got = await on('vwn-cuda', precision, evaluate);
  const error = (pick) => maxRelativeError(together(got, pick), together(want, pick));
  const forward = Math.max(...want[0].outputs.map((_, i) => error(({ outputs }) => outputs[i])));
  const gradient = Math.max(
    0,
    ...Object.keys(want[0].gradients).map((name) => error(({ gradients }) => gradients[name])),
  );
  const tolerance = tolerances[precision];
  const passed = forward < tolerance.forward && gradient < tolerance.gradient;
  return { name: opCase.name, precision, passed, forward, gradient };
}

/** Values of all seeds in one row, so that errors are relative to the largest of them. */
function together(results, pick) {
  return results.flatMap((each) => [...pick(each).values]);
}

/** In float32 as close as the golden trajectories, for as many steps as these have; 1 % in all. */
async function checkLosses(virtual_width, precision, steps) {
  const want = await on('cpu', precision, () => lossesOf(virtual_width, steps));
  const got = await on('vwn-cuda', precision, () => lossesOf(virtual_width, steps));
  const errors = want.map((loss, i) => Math.abs(got[i] - loss) / loss);
  const [first, all] = [Math.max(...errors.slice(0, 8)), Math.max(...errors)];
  const passed = first < (precision === 'fp32' ? goldenTolerance.trajectoryLoss : 1e-2) && all < 1e-2;
  return { name: `losses of ${JSON.stringify(virtual_width ?? 'plain')}`, precision, passed, first, all };
}

function lossesOf(virtual_width, steps) {
  const config = parseModelConfig({
    hidden_size: 32,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    intermediate_size: 48,
    vocab_size: 61,
    max_position_embeddings: 16,
    ...(virtual_width ? { virtual_width } : {}),
  });
  const rng = Rng.fromSeed('losses');
  const batches = Array.from({ length: 4 }, () => [0, 1].map(() => sequence(rng, 17, 61)));
  const model = new LanguageModel(config, { seed: 0 });
  const optimizer = new AdamWOptimizer({ adam_beta1: 0.9, adam_beta2: 0.95, adam_epsilon: 1e-8, weight_decay: 0.1 });
  const training = new CapturedTrainingStep(model, optimizer);
  const settings = { lr: 1e-3, maxGradNorm: 1 };
  try {
    return Array.from({ length: steps }, (_, i) => training.run([batches[i % 4]], settings).loss);
  } finally {
    training.dispose();
    optimizer.dispose();
    model.dispose();
  }
}

/** Tokens of which most follow from the one before, so that there is something to learn. */
function sequence(rng, length, vocabulary) {
  const tokens = Int32Array.from({ length }, () => rng.int(vocabulary));
  for (let i = 1; i < length; i++) if (rng.int(4) > 0) tokens[i] = (7 * tokens[i - 1] + 3) % vocabulary;
  return tokens;
}
