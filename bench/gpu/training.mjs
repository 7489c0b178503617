/**
 * Whole training steps on a GPU, in turns: a GPT of 124M parameters against PyTorch, in tokens a second and as a share of
 * the GPU's peak; and what virtual width adds to a step, against what its memory traffic says.
 *
 *   node training.mjs --peer torch_vwn.py --peak-tflops 989 --out training.json
 *
 *   --peer FILE         the PyTorch model, as for against-pytorch.mjs; without it ours alone
 *   --python FILE       a Python with torch; default python3
 *   --peer-device D     default cuda
 *   --peak-tflops N     of the GPU's bf16 tensor cores without sparsity; default: of H100, H200 and A100 by their names
 *   --rounds --turns    as for against-pytorch.mjs; default 1 and 4
 *   --tiny              sizes of a test: what is printed then says nothing about speed
 *   --out FILE          result file
 */
import * as tf from '@tensorflow/tfjs-core';
import * as core from '@vwn/core';
import { resolve } from 'node:path';
import { compare, comparisonText, runOf } from '../support/comparison.mjs';
import { ourCommand, torchCommand } from '../support/contender.mjs';
import { turnFlags, turnsOf, wholeNumber } from '../support/flags.mjs';
import { describeMachine } from '../support/machine.mjs';
import { runScript, today, writeResult } from '../support/script.mjs';
import { alignedTable, round } from '../support/statistics.mjs';
import { describeTorch } from '../support/torch-peer.mjs';
import { modelConfig } from '../support/training-step.mjs';
import { meansOf, spreadOf, takeTurns } from '../support/turns.mjs';
import { commitOf } from './commit.mjs';
import { copyGbPerSecond } from './copy-bandwidth.mjs';

const gpt124m = { hidden: 768, layers: 12, heads: 12, ffn: 2048, vocab: 50304, seq: 1024, batch: 16, mtp: 0 };
/** Few layers, so that a wide model fits and the rest of the step does not hide what is asked for. */
const wide = { hidden: 2048, layers: 4, heads: 16, ffn: 5632, vocab: 8192, seq: 1024, batch: 8, mtp: 0 };
const tiny = { hidden: 32, layers: 1, heads: 2, ffn: 48, vocab: 64, seq: 16, batch: 1, mtp: 0 };
const plain = { m: 0, n: 0 };
const widths = [
  { m: 2, n: 3 },
  { m: 4, n: 16 },
  { m: 8, n: 64 },
];
const [precision, backend] = ['bf16', 'vwn-cuda'];
/** Dense bf16 TFLOP/s of NVIDIA's data sheets (SXM). */
const peaks = [
  ['H100', 989],
  ['H200', 989],
  ['A100', 312],
];

await runScript(
  import.meta.url,
  {
    ...turnFlags,
    rounds: { type: 'string', default: '1' },
    turns: { type: 'string', default: '4' },
    peer: { type: 'string' },
    python: { type: 'string', default: 'python3' },
    'peer-device': { type: 'string', default: 'cuda' },
    'peak-tflops': { type: 'string' },
    tiny: { type: 'boolean', default: false },
    out: { type: 'string' },
  },
  main,
);

async function main(values) {
  const { details } = await core.selectBackend(backend);
  const device = details.instructions;
  const plan = turnsOf(values, { warmup: values.tiny ? 1 : 5, steps: wholeNumber(values.steps, 'steps', 1) });
  const peak = values['peak-tflops']
    ? wholeNumber(values['peak-tflops'], 'peak-tflops', 1)
    : peaks.find(([name]) => device.includes(name))?.[1];
  const copy = await copyGbPerSecond(tf, values.tiny ? 2 ** 12 : 2 ** 28);
  console.log(`${device}: ${round(copy, 1)} GB/s copied, peak ${peak ?? 'not known (--peak-tflops)'} TFLOP/s`);
  const facts = {
    question: 'How fast are whole training steps on this GPU, against PyTorch, its peak and its copy bandwidth?',
    date: today(),
    commit: commitOf(),
    machine: `${device}; ${describeMachine()}`,
    peer: values.peer ? describeTorch(values.python) : 'none',
    copy_gb_per_s: round(copy, 1),
    peak_tflops: peak,
  };
  const gpt = await runGpt(values, plan, values.tiny ? tiny : gpt124m, peak);
  const added = await runWide(plan, values.tiny ? { ...tiny, hidden: 64 } : wide, copy);
  if (values.out) writeResult(resolve(values.out), { ...facts, gpt, added });
}

function ours(sizes, width) {
  return { title: backend, ours: true, command: ourCommand({ backend, precision, width, sizes, threads: 1 }) };
}

async function runGpt({ peer, python, 'peer-device': device }, plan, sizes, peak) {
  const runs = [];
  for (const width of [plain, widths.at(-1)]) {
    const modes = peer ? ['eager', 'compile'] : [];
    const common = { python, peer: peer && resolve(peer), device, precision, width, sizes, threads: 16 };
    const peers = modes.map((mode) => ({ title: `torch ${mode}`, command: torchCommand({ ...common, mode }) }));
    const mn = `${width.m},${width.n}`;
    const entries = await takeTurns([ours(sizes, width), ...peers], plan, (line) => console.error(`${mn}  ${line}`));
    runs.push(...entries.map((entry) => withShare(runOf(entry, { mn, precision }, sizes), width, sizes, peak)));
  }
  const ratios = compare(runs, () => undefined);
  console.log(comparisonText(runs, ratios));
  for (const { mn, contender, model_flops_utilization: share } of runs)
    if (share !== undefined) console.log(`${mn} ${contender}: ${(100 * share).toFixed(1)} % of the peak`);
  return { sizes, runs, ratios };
}

/** Model FLOPs utilization: the FLOPs that the model needs, whatever else is computed, over the peak. */
function withShare(run, width, sizes, peak) {
  if (!peak || !run.tokens_per_s) return run;
  const flops = core.cost(modelConfig(core, sizes, width), { sequenceLength: sizes.seq }).model.trainingFlops;
  return { ...run, model_flops_utilization: round((run.tokens_per_s * flops) / (peak * 1e12), 3) };
}

/** The traffic that a width adds, a token a sublayer in units of D: 5r + 5, against 10 of the plain residual and norm. */
async function runWide(plan, sizes, copyGbs) {
  const contenders = [plain, ...widths].map((width) => ({
    ...ours(sizes, width),
    title: `${width.m},${width.n}`,
    width,
  }));
  const entries = await takeTurns(contenders, plan, (line) => console.error(`D=${sizes.hidden}  ${line}`));
  const [base] = entries;
  const rows = entries.map(({ contender: { title, width }, turns, failure, last }) => {
    if (failure) return { title, failure };
    const r = width.m ? width.n / width.m : 1;
    const bytes = 5 * (r - 1) * sizes.hidden * 2 * sizes.batch * sizes.seq * 2 * sizes.layers;
    const pairs = meansOf(turns).map((ms, i) => ms - meansOf(base.turns)[i]);
    const added = pairs.sort((a, b) => a - b)[Math.floor(pairs.length / 2)];
    const predicted = bytes / copyGbs / 1e6;
    return {
      title,
      step_ms: spreadOf(turns),
      added_ms: round(added),
      predicted_ms: round(predicted),
      ...(predicted > 0 ? { to_predicted: round(added / predicted, 2) } : {}),
      ...last,
    };
  });
  console.log(textOf(rows, sizes));
  return { sizes, rows };
}

function textOf(rows, { hidden, layers, batch, seq }) {
  const header = [`D=${hidden}, ${layers} layers, ${batch}×${seq} tokens`, 'step ms', 'added', 'by traffic', 'ratio'];
  const cells = rows.map(({ title, failure, step_ms: time, added_ms, predicted_ms, to_predicted: ratio }) =>
    failure ? [`${title}: ${failure}`, '', '', '', ''] : [title, time.median, added_ms, predicted_ms, ratio ?? '-'],
  );
  return `\n${alignedTable(header, cells)}`;
}
