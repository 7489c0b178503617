import { ConfigError, type Precision } from '@vwn/core';
import { parseTrainConfig, train, type InterruptedRun, type TrainEvent } from '@vwn/trainer';
import { Command } from 'commander';
import { basename, join } from 'node:path';
import { folder } from '../arguments';
import { precisionOption, useBackend } from '../backends';
import { readUserText } from '../files';
import { Interrupted } from '../terminal/failure';
import { printResult } from '../terminal/output';
import { TrainingProgress } from '../terminal/training-progress';

interface TrainFlags {
  set?: string[];
  out?: string;
  init?: string;
  resume?: boolean;
  backend?: string;
  precision?: Precision;
  json?: boolean;
}

export function trainCommand(): Command {
  return new Command('train')
    .description(
      'Train a language model. The run folder gets config.yaml, metrics.jsonl and checkpoint-<step> folders.',
    )
    .argument('[config.yaml]', 'model, data and train settings; examples/configs has some')
    .option('--set <key=value...>', 'override settings, e.g. train.max_steps=100 train.seed=7 (repeatable)')
    .option('--out <dir>', 'the run folder (default: runs/<name of the configuration>)', folder)
    .option('--init <checkpoint>', 'start from these weights')
    .option('--resume', 'go on from the newest complete checkpoint of the run folder')
    .option('--backend <name>', 'TensorFlow.js backend, else the first that works (vwn doctor)')
    .addOption(precisionOption())
    .option('--json', 'print the result as JSON at the end')
    .action(async (given: string | undefined, flags: TrainFlags, command: Command) => {
      const { file, overrides } = splitSettings(given, flags.set ?? []);
      if (flags.precision !== undefined) overrides.push(`train.precision=${flags.precision}`);
      if (file === undefined) return command.error("error: missing required argument 'config.yaml'");
      const text = readUserText(file, 'a training configuration');
      const config = parseTrainConfig(text, { source: file, overrides });
      if (flags.init !== undefined && flags.resume)
        throw new ConfigError('--init and --resume exclude each other', {
          hint: 'A resumed run goes on from its own checkpoint; start a new run folder to begin from other weights',
        });
      const outDir = flags.out ?? join('runs', basename(file).replace(/\.\w+$/, ''));
      const backend = await useBackend(flags.backend ?? config.train.backend);
      process.stderr.write(`${outDir} on ${backend.name}, ${config.train.precision}\n`);
      const result = await trainWithProgress(config, outDir, flags);
      printResult(flags.json, result, () => `finished: ${result.checkpointDir}`);
    });
}

/** `--set a=1 config.yaml`: what has no `=` after the settings is the configuration, not a setting. */
function splitSettings(given: string | undefined, settings: readonly string[]) {
  const stray = given === undefined ? settings.findIndex((each) => !each.includes('=')) : -1;
  return { file: given ?? settings[stray], overrides: settings.filter((_, i) => i !== stray) };
}

async function trainWithProgress(config: ReturnType<typeof parseTrainConfig>, outDir: string, flags: TrainFlags) {
  const progress = new TrainingProgress(config);
  const stop = new AbortController();
  const onSignal = () => {
    if (stop.signal.aborted) process.exit(130); // a second Ctrl-C does not wait for the checkpoint
    stop.abort();
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  try {
    const result = await train(config, {
      outDir,
      resume: flags.resume ?? false,
      ...(flags.init === undefined ? {} : { init: flags.init }),
      signal: stop.signal,
      onEvent: (event: TrainEvent) => progress.show(event),
    });
    if (result.interrupted) throw new Interrupted(whereStopped(result));
    return result;
  } finally {
    progress.finish();
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
  }
}

function whereStopped({ step, checkpointDir }: InterruptedRun): string {
  if (checkpointDir === undefined) return 'stopped before the first step; nothing was saved';
  return `stopped at step ${step}, saved ${checkpointDir}; go on with --resume`;
}
