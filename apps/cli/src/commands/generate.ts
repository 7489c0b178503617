import { Rng, type Precision } from '@vwn/core';
import { generate } from '@vwn/layers';
import { Command } from 'commander';
import { setImmediate } from 'node:timers/promises';
import { fraction, nonNegative, nonNegativeInteger, positiveInteger } from '../arguments';
import { precisionOption, useBackend } from '../backends';
import { openModel } from '../model';
import { count } from '../terminal/format';

interface GenerateFlags {
  prompt: string;
  maxTokens: number;
  temperature: number;
  topK?: number;
  topP?: number;
  seed: number;
  backend?: string;
  precision: Precision;
  json?: boolean;
}

export function generateCommand(): Command {
  return new Command('generate')
    .description('Continue a text, streamed as it is made (KV cache; the same seed gives the same text).')
    .argument('<checkpoint>', 'a checkpoint folder, or a run folder (its newest checkpoint)')
    .requiredOption('--prompt <text>', 'what to continue')
    .option('--max-tokens <n>', 'how many tokens to add', positiveInteger, 200)
    .option('--temperature <t>', '0 always takes the likeliest token', nonNegative, 0.8)
    .option('--top-k <k>', 'sample among the k likeliest tokens', positiveInteger)
    .option('--top-p <p>', 'sample among the likeliest tokens that hold this much probability', fraction)
    .option('--seed <s>', 'seed of the sampling', nonNegativeInteger, 0)
    .option('--backend <name>', 'TensorFlow.js backend, else the first that works (vwn doctor)')
    .addOption(precisionOption('fp32'))
    .option('--json', 'print prompt, text, tokens and rate as JSON at the end instead of streaming')
    .action(async (checkpoint: string, flags: GenerateFlags) => {
      await useBackend(flags.backend, flags.precision);
      const { model, tokenizer } = await openModel(checkpoint, { tokenizer: 'required' });
      const stream = tokenizer.streamDecoder();
      const write = (text: string) => (flags.json ? undefined : process.stdout.write(text));
      const { maxTokens, temperature, topK, topP, prompt, seed } = flags;
      const rng = Rng.fromSeed(seed);
      const started = performance.now();
      let text = '';
      const ids: number[] = [];
      write(prompt);
      for await (const id of generate(model, tokenizer.encode(prompt), {
        maxTokens,
        temperature,
        rng,
        ...(topK === undefined ? {} : { topK }),
        ...(topP === undefined ? {} : { topP }),
        ...(tokenizer.eosId === undefined ? {} : { stopIds: [tokenizer.eosId] }),
      })) {
        ids.push(id);
        const piece = stream.push(id);
        text += piece;
        write(piece);
        await setImmediate(); // tokens are computed without a break, in which nothing would hear that the reader has left
      }
      const rest = stream.end();
      write(`${rest}\n`);
      const rate = ids.length / ((performance.now() - started) / 1000);
      if (flags.json) {
        const result = { prompt, text: text + rest, ids, tokens: ids.length, tokens_per_s: Math.round(rate * 10) / 10 };
        process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
      } else process.stderr.write(`(${ids.length} tokens, ${count(rate)} tokens/s)\n`);
    });
}
