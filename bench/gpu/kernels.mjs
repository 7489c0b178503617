/**
 * Single operations of a GPU's sizes in bf16, without the JavaScript that asks for them: connections in bytes a second beside the
 * copy bandwidth, attention and matrix products in FLOPs a second beside PyTorch's, and products beside those of cuBLASLt
 * called from C++.
 *
 *   node kernels.mjs --peer torch_kernels.py --cublaslt cublaslt-peer.cc --out kernels.json
 *
 *   --peer FILE         torch_kernels.py; without it there is no PyTorch to compare with
 *   --cublaslt FILE     cublaslt-peer.cc, compiled with nvcc; where that fails, the result says why under "missing"
 *   --python FILE       a Python with torch; default python3
 *   --peer-device D     default cuda
 *   --op A,B            only these: connection, attention, linear; default all
 *   --turns N           turns of each operation, of which the median counts; default 5
 *   --repeat N          repetitions in a turn; default 20
 *   --tiny              sizes of a test: what is printed then says nothing about speed
 *   --out FILE          result file
 *
 * Kernels are captured and repeated as a CUDA graph, forward and forward with backward; backward is the difference. Our products
 * round float32 weights to bf16 in every call, as training does; peers are given bf16 ones. Rows with bf16 weights compare the
 * products alone.
 */
import * as tf from '@tensorflow/tfjs-core';
import * as core from '@vwn/core';
import '@vwn/kernels-cuda';
import { resolve } from 'node:path';
import { wholeNumber } from '../support/flags.mjs';
import { describeMachine } from '../support/machine.mjs';
import { runScript, today, writeResult } from '../support/script.mjs';
import { alignedTable, quartiles, round } from '../support/statistics.mjs';
import { commitOf } from './commit.mjs';
import { copyGbPerSecond } from './copy-bandwidth.mjs';
import { timeCublasLt } from './cublaslt-peer.mjs';
import { operations } from './operations.mjs';
import { timeTorch } from './torch-kernels.mjs';

const kinds = ['connection', 'attention', 'linear'];

await runScript(
  import.meta.url,
  {
    peer: { type: 'string' },
    cublaslt: { type: 'string' },
    python: { type: 'string', default: 'python3' },
    'peer-device': { type: 'string', default: 'cuda' },
    op: { type: 'string', default: kinds.join(',') },
    turns: { type: 'string', default: '5' },
    repeat: { type: 'string', default: '20' },
    tiny: { type: 'boolean', default: false },
    out: { type: 'string' },
  },
  main,
);

async function main(values) {
  const ops = kindsOf(values.op);
  const { details } = await core.selectBackend('vwn-cuda');
  core.setPrecision('bf16');
  const plan = { turns: wholeNumber(values.turns, 'turns', 1), repeat: wholeNumber(values.repeat, 'repeat', 1) };
  const copy = await copyGbPerSecond(tf, values.tiny ? 2 ** 12 : 2 ** 28);
  const all = operations(values.tiny).filter(({ op }) => ops.includes(op));
  const rows = all.map((operation) => {
    console.error(operation.title);
    return { ...facts(operation), ...timeOurs(operation, plan) };
  });
  const { peer, torch } = values.peer
    ? timeTorch({ ...values, peer: resolve(values.peer), device: values['peer-device'] }, all, plan)
    : { peer: 'none', torch: [] };
  const lt = values.cublaslt
    ? timeCublasLt(resolve(values.cublaslt), all, plan)
    : { reason: 'no --cublaslt', times: [] };
  rows.forEach((row, i) => Object.assign(row, compared(row, copy, { torch: torch[i], cublaslt: lt.times[i] })));
  const missing = lt.reason ? [`cuBLASLt called from C++ (${lt.reason})`] : [];
  console.log(`${details.instructions}: ${round(copy, 1)} GB/s copied\n\n${textOf(rows)}`);
  for (const each of missing) console.log(`\nnot compared: ${each}`);
  if (values.out)
    writeResult(resolve(values.out), {
      question: 'How fast are single operations on this GPU, against its copy bandwidth, PyTorch and cuBLASLt?',
      date: today(),
      commit: commitOf(),
      machine: `${details.instructions}; ${describeMachine()}`,
      peer,
      cublaslt: lt.library ?? 'none',
      missing,
      warpgroups: process.env.VWN_CUDA_WARPGROUPS === '0' ? 'switched off' : 'used where the GPU has them',
      copy_gb_per_s: round(copy, 1),
      rows,
    });
}

/** @throws Error naming what is no kind of operation */
function kindsOf(text) {
  const named = text.split(',');
  const unknown = named.find((each) => !kinds.includes(each));
  if (unknown !== undefined) throw new Error(`--op: expected some of ${kinds.join(', ')}, got ${unknown}`);
  return named;
}

function facts({ title, bytes, flops }) {
  return { title, ...(bytes ? { bytes } : { flops }) };
}

function timeOurs({ inputs, run, hasGradient = () => true }, plan) {
  const given = tf.tidy(inputs);
  const names = Object.keys(given).filter(hasGradient);
  const outputs = tf.tidy(() => run(given));
  const upstream = outputs.map((each) => each.clone());
  const forward = timeCaptured(() => run(given), plan);
  const both = timeCaptured(() => {
    const objective = (...xs) => {
      const ys = run({ ...given, ...Object.fromEntries(names.map((name, i) => [name, xs[i]])) });
      return tf.customGrad(() => ({ value: tf.scalar(0), gradFunc: () => upstream.map((each) => each.clone()) }))(
        ...ys,
      );
    };
    return tf.grads(objective)(names.map((name) => given[name]));
  }, plan);
  tf.dispose([given, outputs, upstream]);
  return { forward_ms: round(forward, 4), backward_ms: round(both - forward, 4) };
}

/** Milliseconds of all kernels of `body`, which returns tensors. @throws Error where they cannot be captured */
function timeCaptured(body, { turns, repeat }) {
  const { result, capture, reason } = core.captureKernels({ feeds: [], state: [] }, () =>
    tf.tidy(() => body().map(tf.keep)),
  );
  if (!capture) throw new Error(`kernels cannot be captured: ${reason}`);
  const rest = tf.zeros([1]);
  const times = [];
  for (let turn = -1; turn < turns; turn++) {
    const start = performance.now();
    for (let i = 0; i < repeat; i++) if (!capture.replay([])) throw new Error('a capture cannot be replayed any more');
    rest.dataSync(); // waits for all that was asked for before
    if (turn >= 0) times.push((performance.now() - start) / repeat);
  }
  capture.dispose();
  tf.dispose([...result, rest]);
  return quartiles(times).median;
}

/** Shares of the copy bandwidth, or FLOPs a second and how many times as fast as the best of each peer that has times. */
function compared({ forward_ms: forward, backward_ms: backward, bytes, flops }, copy, peers) {
  if (bytes) {
    const share = (ms, of) => round(of / ms / 1e6 / copy, 3);
    return { forward_of_copy: share(forward, bytes.forward), backward_of_copy: share(backward, bytes.backward) };
  }
  const perSecond = (ms, of) => round(of / ms / 1e9, 1);
  const facts = {
    forward_tflops: perSecond(forward, flops.forward),
    backward_tflops: perSecond(backward, flops.backward),
  };
  for (const [name, ways] of Object.entries(peers).filter(([, each]) => each)) {
    const best = (direction) => Math.min(...Object.values(ways).map((each) => each[direction]));
    facts[name] = ways;
    facts[`forward_to_${name}`] = round(best('forward_ms') / forward, 3);
    facts[`backward_to_${name}`] = round(best('backward_ms') / backward, 3);
  }
  return facts;
}

function textOf(rows) {
  const ratios = ['torch', 'cublaslt'].flatMap((name) => [`forward_to_${name}`, `backward_to_${name}`]);
  const names = ['fwd x torch', 'bwd x torch', 'fwd x cuBLASLt', 'bwd x cuBLASLt'];
  const percent = (share) => `${round(100 * share, 1)} % of copy`;
  const cells = rows.map((row) => [
    row.title,
    row.forward_ms,
    row.backward_ms,
    ...(row.bytes
      ? [percent(row.forward_of_copy), percent(row.backward_of_copy)]
      : [`${row.forward_tflops} TFLOP/s`, `${row.backward_tflops} TFLOP/s`]),
    ...ratios.map((name) => row[name] ?? '-'),
  ]);
  return alignedTable(['operation', 'forward ms', 'backward ms', 'forward', 'backward', ...names], cells);
}
