import { cost, costTable, parseModelConfig, type ModelConfig } from '@vwn/core';
import { loadCheckpointConfig } from '@vwn/layers/checkpoint';
import { parseTrainConfig } from '@vwn/trainer';
import { Command } from 'commander';
import { existsSync, statSync } from 'node:fs';
import { fraction, positiveInteger } from '../arguments';
import { parseUserJson, readUserText } from '../files';
import { table } from '../terminal/format';
import { printResult } from '../terminal/output';

interface CostFlags {
  sequenceLength: number;
  batchSize: number;
  eta: number;
  json?: boolean;
}

export function costCommand(): Command {
  return new Command('cost')
    .description(
      'FLOPs, parameters and activation memory of a model (§3.5), against the plain and the naively widened one.',
    )
    .argument(
      '<config>',
      'a training configuration (.yaml), a config.json, a checkpoint folder, or a run folder (its newest checkpoint)',
    )
    .option('--sequence-length <T>', 'tokens in a sequence', positiveInteger, 2048)
    .option('--batch-size <B>', 'sequences in a batch', positiveInteger, 1)
    .option('--eta <share>', 'share of width-connection inputs kept for the backward pass', fraction, 0.5)
    .option('--json', 'print one JSON document')
    .action(async (path: string, flags: CostFlags) => {
      const { sequenceLength, batchSize, eta } = flags;
      const report = cost(await readModelConfig(path), { sequenceLength, batchSize, eta });
      printResult(flags.json, report, () => table(costTable(report)));
    });
}

async function readModelConfig(path: string): Promise<ModelConfig> {
  if (existsSync(path) && statSync(path).isDirectory()) return loadCheckpointConfig(path);
  const text = readUserText(path, 'a configuration');
  return /\.ya?ml$/.test(path)
    ? parseTrainConfig(text, { source: path }).model
    : parseModelConfig(parseUserJson(text, path), path);
}
