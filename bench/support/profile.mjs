/** Time per kernel and phase of a training step, by wrapping what TensorFlow.js has registered. */
import { PerformanceObserver } from 'node:perf_hooks';
import { setImmediate } from 'node:timers/promises';
import { alignedTable } from './statistics.mjs';

const noKernel = '(outside kernels)';
/** Rows of a smaller share of the step are only counted. */
const negligible = 0.0005;

/**
 * Wraps every kernel of the current backend, the model's forward pass and the optimizer's update; everything else in a
 * step counts as backward. Composed kernels register themselves when they first run, so warm up before.
 * Backends that queue work (GPUs) show the time of queueing, and the wait where a value is read back.
 * @param {{ shapes: boolean }} options shapes: one row for each combination of input shapes
 */
export function startProfile(tf, model, optimizer, { shapes }) {
  const recorder = new Recorder(shapes);
  const undo = [
    ...tf.getKernelsForBackend(tf.getBackend()).map((kernel) => wrap(kernel, 'kernelFunc', recorder.kernel(kernel))),
    wrap(model, 'loss', recorder.phase('forward')),
    wrap(optimizer, 'update', recorder.phase('optimizer')),
  ];
  const collections = new PerformanceObserver((list) => recorder.collected(list.getEntries()));
  collections.observe({ entryTypes: ['gc'] });
  return {
    step: (run) => recorder.step(run),
    async stop() {
      await setImmediate(); // entries of garbage collections come by the event loop
      collections.disconnect();
      for (const each of undo) each();
      return recorder;
    },
  };
}

function wrap(object, method, around) {
  const own = Object.getOwnPropertyDescriptor(object, method);
  const original = object[method];
  object[method] = (...args) => around(() => original.apply(object, args), args);
  return () => {
    if (own) Object.defineProperty(object, method, own);
    else delete object[method];
  };
}

class Recorder {
  steps = 0;
  stepMs = 0;
  garbage = { count: 0, ms: 0 };
  /** By phase, kernel and shapes. */
  rows = new Map();
  stack = [];
  phaseName = 'backward';

  constructor(shapes) {
    this.shapes = shapes;
  }

  kernel({ kernelName }) {
    return (run, [{ inputs }]) => this.timed(this.shapes ? `${kernelName} ${shapesOf(inputs)}` : kernelName, run);
  }

  phase(name) {
    return (run) => {
      this.phaseName = name;
      try {
        return this.timed(noKernel, run);
      } finally {
        this.phaseName = 'backward';
      }
    };
  }

  step(run) {
    this.steps++;
    const start = performance.now();
    const result = this.timed(noKernel, run);
    this.stepMs += performance.now() - start;
    return result;
  }

  /** Kernels run inside kernels (composed forms); a row's own time leaves out what ran inside. */
  timed(name, run) {
    const { phaseName } = this;
    const frame = { inner: 0 };
    this.stack.push(frame);
    const start = performance.now();
    try {
      return run();
    } finally {
      const total = performance.now() - start;
      this.stack.pop();
      const outer = this.stack.at(-1);
      if (outer) outer.inner += total;
      this.record(phaseName, name, total - frame.inner, total);
    }
  }

  record(phase, name, own, total) {
    const key = `${phase} ${name}`;
    let row = this.rows.get(key);
    if (!row) this.rows.set(key, (row = { phase, name, calls: 0, own: 0, total: 0, least: Infinity }));
    row.calls++;
    row.own += own;
    row.total += total;
    row.least = Math.min(row.least, own);
  }

  collected(entries) {
    this.garbage.count += entries.length;
    for (const { duration } of entries) this.garbage.ms += duration;
  }
}

function shapesOf(inputs) {
  const tensors = Object.values(inputs ?? {})
    .flat()
    .filter(Boolean);
  const shown = tensors.slice(0, 4).map(({ shape }) => `[${shape}]`);
  return `${shown.join(' ')}${tensors.length > 4 ? ` and ${tensors.length - 4} more` : ''}`;
}

/** The tables to print: kernels by their own time, then phases. Numbers are per step. */
export function profileText({ rows, steps, stepMs, garbage }, unprofiledMs) {
  const all = [...rows.values()].sort((a, b) => b.own - a.own);
  const perStep = (value, digits = 2) => (value / steps).toFixed(digits);
  const share = (value) => `${((100 * value) / stepMs).toFixed(1)}%`;
  const large = all.filter(({ own }) => own >= negligible * stepMs);
  const kernelRows = large.map(({ phase, name, calls, own, total, least }) => [
    name,
    phase,
    perStep(calls, calls % steps ? 1 : 0),
    perStep(own),
    share(own),
    ((1000 * own) / calls).toFixed(1),
    (1000 * least).toFixed(1),
    // Of the rows outside kernels the total would count other phases twice.
    name !== noKernel && total - own > 0.005 * steps ? perStep(total) : '',
  ]);
  const header = ['kernel', 'phase', 'calls', 'ms', 'share', 'us/call', 'least us', 'with inner ms'];
  return [
    `per step, ${steps} profiled steps of ${perStep(stepMs)} ms (${unprofiledMs.toFixed(2)} ms without profiling)`,
    [alignedTable(header, kernelRows, [0, 1]), `and ${all.length - large.length} rows of less each`].join('\n'),
    phaseTable(all, perStep, share),
    `garbage collection: ${perStep(garbage.ms)} ms in ${perStep(garbage.count, 1)} collections, part of ${noKernel}`,
  ].join('\n\n');
}

function phaseTable(all, perStep, share) {
  const sum = (rows) => rows.reduce((total, { own }) => total + own, 0);
  const phases = ['forward', 'backward', 'optimizer'].map((phase) => [phase, all.filter((row) => row.phase === phase)]);
  const rows = [...phases, ['all', all]].map(([phase, of]) => {
    const outside = sum(of.filter(({ name }) => name === noKernel));
    return [phase, perStep(sum(of) - outside), perStep(outside), perStep(sum(of)), share(sum(of))];
  });
  return alignedTable(['phase', 'kernels ms', 'outside ms', 'ms', 'share'], rows);
}
