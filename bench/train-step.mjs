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
import { setImmediate } from 'node:timers/promises';
import { parseWidths, requirePrecisions, sharedFlags, sizesOf, wholeNumber } from './support/flags.mjs';
import { profileText, startProfile } from './support/profile.mjs';
import { runScript } from './support/script.mjs';
import { quartiles, round } from './support/statistics.mjs';
import { loadPackages, memoryNow, startTraining } from './support/training-step.mjs';

const options = {
  ...sharedFlags,
  backend: { type: 'string' },
  profile: { type: 'boolean', default: false },
  shapes: { type: 'boolean', default: false },
};

await runScript(import.meta.url, options, main);

async function main(values) {
  const sizes = sizesOf(values);
  const widths = values.mn.map(parseWidths);
  const precisions = requirePrecisions(values.precision);
  const threads = values.threads && wholeNumber(values.threads, 'threads');
  const packages = await loadPackages(values.backend, threads);
  const { tf, details } = packages;
  console.error(`${tf.getBackend()}: ${JSON.stringify(details)}`);
  for (const width of widths)
    for (const precision of precisions) {
      const line = await timeConfiguration(packages, sizes, width, precision, values);
      console.log(
        JSON.stringify({ peer: 'vwn', device: deviceOf(tf), mode: tf.getBackend(), details, precision, ...line }),
      );
    }
}

function deviceOf(tf) {
  return tf.getBackend() === 'vwn-cuda' || tf.backend().isUsingGpuDevice ? 'gpu' : 'cpu';
}

async function timeConfiguration(packages, sizes, width, precision, { profile, shapes }) {
  const { tf } = packages;
  const training = startTraining(packages, sizes, width, precision);
  try {
    // A profile needs every composed kernel to have registered itself, which the first step does.
    const warmup = Math.max(sizes.warmup, profile ? 1 : 0);
    for (let i = 0; i < warmup; i++) await training.timed();
    const times = [];
    let loss = Number.NaN;
    for (let i = 0; i < sizes.steps; i++) {
      const { ms, result } = await training.timed();
      times.push(ms);
      loss = result.loss;
    }
    const line = report(tf, training, sizes, width, times, loss);
    if (profile) await printProfile(tf, training, { shapes, steps: sizes.steps, median: line.step_ms });
    return line;
  } finally {
    training.dispose();
  }
}

function report(tf, { parameters }, { batch, seq }, { m, n }, times, loss) {
  const { min, q1, median, q3, max } = quartiles(times);
  return {
    m,
    n,
    parameters,
    step_ms: round(median),
    tokens_per_s: round((batch * seq * 1000) / median, 1),
    step_ms_min: round(min),
    step_ms_q1: round(q1),
    step_ms_q3: round(q3),
    step_ms_max: round(max),
    loss: round(loss, 5),
    memory: memoryNow(tf),
  };
}

async function printProfile(tf, { model, optimizer, uncaptured }, { shapes, steps, median }) {
  // Steps that nothing has captured allocate for themselves: their first ones would count what fresh memory costs.
  for (let i = 0; i < 2; i++) {
    await setImmediate();
    uncaptured();
  }
  const profile = startProfile(tf, model, optimizer, { shapes });
  for (let i = 0; i < steps; i++) {
    await setImmediate();
    profile.step(uncaptured);
  }
  console.error(`\n${profileText(await profile.stop(), median)}\n`);
}
