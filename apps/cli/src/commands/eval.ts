import type { Precision } from '@vwn/core';
import { evaluate, taskNames } from '@vwn/eval';
import { Command } from 'commander';
import { nonNegativeInteger, positiveInteger } from '../arguments';
import { precisionOption, useBackend } from '../backends';
import { requireWritable, writeUserFile } from '../files';
import { openModel } from '../model';
import { percent, table } from '../terminal/format';
import { printResult } from '../terminal/output';
import { Progress } from '../terminal/progress';

interface EvalFlags {
  tasks: string;
  data: string;
  limit?: number;
  numFewshot: number;
  batchSize: number;
  output?: string;
  backend?: string;
  precision: Precision;
  json?: boolean;
}

export function evalCommand(): Command {
  return new Command('eval')
    .description(
      `Multiple-choice tasks by log-likelihood, as lm-evaluation-harness scores them: ${taskNames().join(', ')}.`,
    )
    .argument('<checkpoint>', 'a checkpoint folder, or a run folder (its newest checkpoint)')
    .requiredOption('--tasks <names>', 'task names, separated by commas')
    .requiredOption('--data <dir>', 'folder with the tasks’ published JSONL files')
    .option('--limit <n>', 'only the first n documents of a task', positiveInteger)
    .option('--num-fewshot <n>', 'examples put before each question', nonNegativeInteger, 0)
    .option('--batch-size <n>', 'sequences scored at once', positiveInteger, 8)
    .option('--output <file>', 'write the results in lm-evaluation-harness’s schema')
    .option('--backend <name>', 'TensorFlow.js backend, else the first that works (vwn doctor)')
    .addOption(precisionOption('fp32'))
    .option('--json', 'print the results as JSON')
    .action(async (checkpoint: string, flags: EvalFlags) => {
      if (flags.output !== undefined) requireWritable(flags.output);
      const backend = await useBackend(flags.backend, flags.precision);
      const { model, tokenizer, dir } = await openModel(checkpoint, { tokenizer: 'required' });
      const progress = new Progress('request', 0);
      const results = await evaluate(model, tokenizer, {
        tasks: flags.tasks.split(',').map((name) => name.trim()),
        dataDir: flags.data,
        batchSize: flags.batchSize,
        numFewshot: flags.numFewshot,
        modelName: dir,
        backend: backend.name,
        ...(flags.limit === undefined ? {} : { limit: flags.limit }),
        onProgress: (done, total, task) => progress.update(done, task, 0, total),
      });
      progress.finish();
      if (flags.output !== undefined) writeUserFile(flags.output, `${JSON.stringify(results, null, 2)}\n`);
      printResult(flags.json, results, () => resultTable(results.results));
    });
}

function resultTable(results: Awaited<ReturnType<typeof evaluate>>['results']): string {
  const rows = Object.entries(results).flatMap(([task, metrics]) =>
    Object.entries(metrics)
      .filter(([key, value]) => key.includes(',') && !key.includes('_stderr') && typeof value === 'number')
      .map(([key, value]) => {
        const [metric = key, filter = 'none'] = key.split(',');
        const stderr = metrics[`${metric}_stderr,${filter}`];
        const show = metric.startsWith('acc') ? percent : (number: number) => number.toFixed(4);
        return [task, metric, show(value as number), typeof stderr === 'number' ? `± ${show(stderr)}` : ''];
      }),
  );
  return table([['task', 'metric', 'value', 'stderr'], ...rows]);
}
