import { Command } from 'commander';
import { resolve } from 'node:path';
import { folder, positiveInteger } from '../arguments';
import { useBackend } from '../backends';
import { writeUserFile } from '../files';
import { compare } from '../quickstart/comparison';
import { quickstartPage } from '../quickstart/report';
import { runContestants, sampleText } from '../quickstart/run';
import { quickstartSummary } from '../quickstart/summary';
import { printResult } from '../terminal/output';

interface QuickstartFlags {
  out: string;
  steps: number;
  force?: boolean;
  backend?: string;
  json?: boolean;
}

const prompt = 'Fellow citizens, the state of the Union is';

export function quickstartCommand(): Command {
  return new Command('quickstart')
    .description('Train a plain transformer and a VWN of the same backbone on real text, compare them, write a report.')
    .option('--out <dir>', 'folder of the two runs and report.html', folder, 'runs/quickstart')
    .option('--steps <n>', 'training steps of each', positiveInteger, 200)
    .option('--force', 'replace the folders of the two runs in --out, whatever they hold')
    .option('--backend <name>', 'TensorFlow.js backend, else the first that works (vwn doctor)')
    .option('--json', 'print the comparison as JSON')
    .action(async ({ out, steps, force, backend, json }: QuickstartFlags) => {
      const { name: backendName } = await useBackend(backend);
      const outcomes = await runContestants({ out, steps, force });
      const rows = compare(outcomes);
      const sample = await sampleText(outcomes.at(-1)?.checkpointDir as string, prompt);
      const machine = `${steps} steps each on the ${backendName} backend, Node ${process.version}, ${process.platform}-${process.arch}.`;
      const report = resolve(out, 'report.html');
      writeUserFile(report, quickstartPage({ outcomes, rows, prompt, sample, machine }));
      printResult(json, { backend: backendName, steps, rows, prompt, sample, report }, () =>
        quickstartSummary({ rows, machine, prompt, sample, report, out }),
      );
    });
}
