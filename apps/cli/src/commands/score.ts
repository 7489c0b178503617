import { DataError, type Precision } from '@vwn/core';
import { scoreIds, scoreText, type Score } from '@vwn/eval';
import { Command, Option } from 'commander';
import { precisionOption, useBackend } from '../backends';
import { parseUserJson, readUserText } from '../files';
import { openModel } from '../model';
import { printResult } from '../terminal/output';

interface ScoreFlags {
  text?: string;
  ids?: string;
  backend?: string;
  precision: Precision;
  json?: boolean;
}

export function scoreCommand(): Command {
  return new Command('score')
    .description('Mean next-token loss and perplexity of a text or of token ids, with per-token log-probabilities.')
    .argument('<checkpoint>', 'a checkpoint folder, or a run folder (its newest checkpoint)')
    .addOption(
      new Option('--text <file>', 'score a text file (needs the checkpoint’s tokenizer.json)').conflicts('ids'),
    )
    .option('--ids <file.json>', 'score token ids, number[][]')
    .option('--backend <name>', 'TensorFlow.js backend, else the first that works (vwn doctor)')
    .addOption(precisionOption('fp32'))
    .option('--json', 'print loss, perplexity, bits_per_byte, logprobs and mtp_losses as JSON')
    .action(async (checkpoint: string, flags: ScoreFlags, command: Command) => {
      if (flags.text === undefined && flags.ids === undefined)
        command.error('error: give --text FILE or --ids FILE.json');
      await useBackend(flags.backend, flags.precision);
      const score = await scoreFile(checkpoint, flags);
      printResult(flags.json, score, () => describeScore(score));
    });
}

async function scoreFile(checkpoint: string, { text, ids }: ScoreFlags): Promise<Score> {
  if (ids !== undefined) {
    const { model } = await openModel(checkpoint);
    return scoreIds(model, parseIds(readUserText(ids, 'token ids as JSON'), ids));
  }
  const { model, tokenizer } = await openModel(checkpoint, { tokenizer: 'required' });
  return scoreText(model, tokenizer, readUserText(text as string, 'a text'));
}

function parseIds(text: string, file: string): number[][] {
  const value = parseUserJson(text, file);
  const isIds = (row: unknown): row is number[] => Array.isArray(row) && row.every((id) => Number.isInteger(id));
  if (Array.isArray(value) && value.every(isIds)) return value;
  throw new DataError(`${file} does not hold token ids`, {
    expected: 'number[][], a list of sequences of whole numbers',
    got: text.slice(0, 60),
  });
}

function describeScore(score: Score): string {
  const lines = [`loss           ${score.loss.toFixed(4)}`, `perplexity     ${score.perplexity.toFixed(3)}`];
  if (score.bits_per_byte !== undefined) lines.push(`bits per byte  ${score.bits_per_byte.toFixed(4)}`);
  score.mtp_losses?.forEach((loss, i) => lines.push(`next-${i + 2}-token  ${loss.toFixed(4)}`));
  return lines.join('\n');
}
