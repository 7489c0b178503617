import '@tensorflow/tfjs-backend-cpu';
import { setBackend } from '@tensorflow/tfjs-core';
import { loadCheckpoint } from '@vwn/layers/checkpoint';
import { Tokenizer } from '@vwn/text';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { evaluate, logLikelihoods, rollingLogLikelihood, scoreText, type EvaluationResults } from '../src/index';
import type { LanguageModel } from '@vwn/layers';

/** Written by fixtures/lm-evaluation-harness/make_fixtures.py, with lm_eval 0.4.13. */
const folder = new URL('./fixtures/lm-evaluation-harness', import.meta.url).pathname;
const read = (name: string) => JSON.parse(readFileSync(join(folder, 'results', name), 'utf8'));
const tasks = ['hellaswag', 'arc_easy', 'arc_challenge'];
const shots = [0, 2];

interface Answer {
  readonly arguments: readonly [string, string];
  readonly response: readonly [number, boolean];
}

let model: LanguageModel;
let tokenizer: Tokenizer;

beforeAll(async () => {
  await setBackend('cpu');
  model = await loadCheckpoint(join(folder, 'checkpoint'));
  tokenizer = await Tokenizer.load(join(folder, 'checkpoint'));
});
afterAll(() => model.dispose());

const run = (names: readonly string[], numFewshot: number) =>
  evaluate(model, tokenizer, { tasks: names, dataDir: join(folder, 'data'), numFewshot, batchSize: 5 });

describe('lm-evaluation-harness on the same model and data', () => {
  it.each(shots.flatMap((shot) => tasks.map((task) => [task, shot] as const)))(
    '%s, %i-shot: accuracies and their standard errors are the same',
    async (task, shot) => {
      const expected = read(`results-${shot}-shot.json`).results[`local_${task}`];
      const { results } = await run([task], shot);
      for (const key of ['acc,none', 'acc_stderr,none', 'acc_norm,none', 'acc_norm_stderr,none', 'sample_len'])
        expect(results[task]?.[key], key).toBeCloseTo(expected[key], 12);
    },
  );

  it.each(shots)('%i-shot: every request has the same log-likelihood and greediness', async (shot) => {
    for (const answers of tasks.flatMap((task) => read(`likelihoods-${shot}-shot.json`)[task] as Answer[][])) {
      const requests = answers.map(({ arguments: [context, continuation] }) => ({ context, continuation }));
      const likelihoods = await logLikelihoods(model, tokenizer, requests);
      answers.forEach(({ response: [logprob, greedy] }, i) => {
        expect(Math.abs((likelihoods[i]?.logprob ?? 0) - logprob)).toBeLessThan(1e-5 * Math.abs(logprob));
        expect(likelihoods[i]?.isGreedy).toBe(greedy);
      });
    }
  });

  it.each(shots)('%i-shot: the same prompts are asked', async (shot) => {
    const asked: string[] = [];
    const spy = {
      encode: (text: string) => (asked.push(text), tokenizer.encode(text)),
      decode: (ids: readonly number[]) => tokenizer.decode(ids),
    };
    for (const task of tasks) {
      asked.length = 0;
      await evaluate(model, spy, { tasks: [task], dataDir: join(folder, 'data'), numFewshot: shot, limit: 3 });
      const expected = (read(`likelihoods-${shot}-shot.json`)[task] as Answer[][]).slice(0, 3).flat();
      for (const { arguments: parts } of expected) expect(asked).toContain(parts.join(''));
    }
  });

  it('perplexities of texts are the same, through windows longer and shorter than the texts', async () => {
    const expected = read('results-0-shot.json').results.local_perplexity;
    const { results } = await run(['perplexity'], 0);
    for (const key of ['word_perplexity,none', 'byte_perplexity,none', 'bits_per_byte,none'])
      expect(Number(results.perplexity?.[key]) / expected[key]).toBeCloseTo(1, 3);
    expect(results.perplexity?.['bits_per_byte_stderr,none']).toBe(expected['bits_per_byte_stderr,none']);
  });

  it('the rolling log-likelihood of each text is the same', async () => {
    const answers = (
      read('likelihoods-0-shot.json').perplexity as { arguments: [string]; response: number }[][]
    ).flat();
    for (const {
      arguments: [text],
      response,
    } of answers) {
      const logprob = await rollingLogLikelihood(model, tokenizer, text);
      expect(Math.abs(logprob - response) / Math.abs(response)).toBeLessThan(1e-5);
      const { loss, tokens } = await scoreText(model, tokenizer, text);
      expect(-loss * tokens).toBeCloseTo(logprob, 3);
    }
  });

  it('the results file has the same fields of the same kinds, less those of PyTorch, Python and git', async () => {
    const theirs = read('results-0-shot.json') as EvaluationResults & Record<string, unknown>;
    const ours = JSON.parse(JSON.stringify(await run([...tasks, 'perplexity'], 0))) as typeof theirs;
    const foreign = ['pretty_env_info', 'transformers_version', 'lm_eval_version', 'upper_git_hash'];
    expect(Object.keys(ours).sort()).toEqual(
      Object.keys(theirs)
        .filter((key) => !foreign.includes(key))
        .sort(),
    );
    for (const key of Object.keys(ours).filter((each) => each !== 'git_hash'))
      expect([key, kind(ours[key])]).toEqual([key, kind(theirs[key])]);
    for (const task of [...tasks, 'perplexity']) {
      const local = `local_${task}`;
      expect(Object.keys(ours.results[task] ?? {})).toEqual(Object.keys(theirs.results[local] ?? {}));
      expect(ours['n-samples'][task]).toEqual(theirs['n-samples'][local]);
      expect(ours.higher_is_better[task]).toEqual(theirs.higher_is_better[local]);
      expect(ours['n-shot'][task]).toEqual(theirs['n-shot'][local]);
    }
    const revision = ['model_revision', 'model_sha'];
    expect(Object.keys(ours.config)).toEqual(Object.keys(theirs.config).filter((key) => !revision.includes(key)));
    for (const key of ['doc_to_text', 'doc_to_target', 'doc_to_choice', 'target_delimiter', 'fewshot_delimiter'])
      expect(ours.configs.hellaswag?.[key]).toEqual(theirs.configs.local_hellaswag?.[key]);
  });
});

function kind(value: unknown): string {
  return value === null ? 'null' : Array.isArray(value) ? 'list' : typeof value;
}
