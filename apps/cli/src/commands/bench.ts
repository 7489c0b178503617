import type { Precision } from '@vwn/core';
import { Command, Option } from 'commander';
import { nonNegative, positiveInteger } from '../arguments';
import { requireWritable, writeUserFile } from '../files';
import { printResult } from '../terminal/output';
import { Progress } from '../terminal/progress';

interface BenchFlags {
  backend: string[];
  op: string[];
  size: 'large' | 'small';
  precision: Precision;
  repeat: number;
  minTime: number;
  peer?: 'torch';
  python: string;
  out?: string;
  json?: boolean;
}

export function benchCommand(): Command {
  return new Command('bench')
    .description('Time the operations, forward and backward, on one backend or on several in turns.')
    .option('--backend <name>', 'TensorFlow.js backend (repeatable; the others are compared with the first)', names, [])
    .option('--op <text>', 'only cases whose name contains this (repeatable)', collect, [])
    .addOption(
      new Option('--size <size>', 'cases of a model’s size, or of the checks')
        .choices(['large', 'small'])
        .default('large'),
    )
    .addOption(new Option('--precision <p>', 'how activations are stored').choices(['fp32', 'bf16']).default('fp32'))
    .option('--repeat <n>', 'rounds; each gives one sample of every backend', positiveInteger, 5)
    .option('--min-time <seconds>', 'least time of a case on a backend in either direction', nonNegative, 0.5)
    .addOption(new Option('--peer <name>', 'also time a framework outside').choices(['torch']))
    .option('--python <program>', 'the Python that has the peer', 'python3')
    .option('--out <results.json>', 'write machine, options and all results')
    .option('--json', 'print the results as JSON')
    .action(run);
}

async function run({ backend, op, minTime, out, json, ...flags }: BenchFlags): Promise<void> {
  if (out !== undefined) requireWritable(out);
  // Loaded here: the case table is of no use to any other command.
  const [{ runBench }, { reportText }] = await Promise.all([import('../bench/run'), import('../bench/report')]);
  const progress = new Progress('case', 0);
  const onProgress = (done: number, total: number, name: string) => progress.update(done, name, 0, total);
  let report;
  try {
    report = await runBench({ ...flags, backends: backend, ops: op, minTimeSeconds: minTime, onProgress });
  } finally {
    progress.finish();
  }
  const found = report;
  if (out !== undefined) writeUserFile(out, `${JSON.stringify(found, null, 1)}\n`);
  printResult(json, found, () => reportText(found));
}

function collect(text: string, before: string[]): string[] {
  return [...before, text];
}

/** Repeated, or separated by commas. */
function names(text: string, before: string[]): string[] {
  return [...before, ...text.split(',').map((name) => name.trim())];
}
