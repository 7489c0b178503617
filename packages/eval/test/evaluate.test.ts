import '@tensorflow/tfjs-backend-cpu';
import { setBackend } from '@tensorflow/tfjs-core';
import { DataError } from '@vwn/core';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { choiceOutcome, evaluate, meanEstimate, type EvaluateOptions, type MultipleChoiceTask } from '../src/index';
import { characterTokenizer, contextualModel, fakeModel } from './support/fake-model';
import { withoutPermission } from '../../core/test/support/without-permission';
import { folderWith } from './support/temporary-folder';

beforeAll(() => setBackend('cpu'));

/** Likes "x" (probability 1/4) better than all other characters (1/200), whatever came before. */
const likesX = fakeModel((next) => (next === 'x'.charCodeAt(0) ? 1 / 4 : 1 / 200), { maxLength: 200 });

const arc = (stem: string, texts: readonly string[], answerKey: string) => ({
  id: stem,
  question: { stem, choices: texts.map((text, i) => ({ text, label: 'ABCD'[i] })) },
  answerKey,
});
const questions = [
  arc('the short one is likelier', ['xy', 'xxxxxx'], 'A'), // acc 1, acc_norm 0: a character of B is likelier
  arc('the other way round', ['xy', 'xxxxxx'], 'B'), // acc 0, acc_norm 1
  arc('both agree', ['y', 'x'], 'B'), // 1, 1
  arc('both agree, wrongly', ['y', 'x'], 'A'), // 0, 0
  arc('of equals the first', ['x', 'x'], 'A'), // 1, 1
];

const run = (dataDir: string, options: Partial<EvaluateOptions> = {}) =>
  evaluate(likesX, characterTokenizer, { tasks: ['arc_easy'], dataDir, ...options });

describe('evaluate', () => {
  it('gives the exact accuracies of a model of known probabilities', async () => {
    const { results } = await run(folderWith({ 'ARC-Easy-Test.jsonl': questions }));
    expect(results.arc_easy).toEqual({
      name: 'arc_easy',
      alias: 'arc_easy',
      sample_len: 5,
      'acc,none': 0.6,
      'acc_stderr,none': expect.closeTo(Math.sqrt(1.2 / 4 / 5), 12),
      'acc_norm,none': 0.6,
      'acc_norm_stderr,none': expect.closeTo(Math.sqrt(1.2 / 4 / 5), 12),
    });
  });

  it('takes the first documents only, or a share of them, and counts them', async () => {
    const dataDir = folderWith({ 'ARC-Easy-Test.jsonl': questions });
    const one = await run(dataDir, { limit: 1 });
    expect(one.results.arc_easy).toMatchObject({ 'acc,none': 1, 'acc_norm,none': 0, 'acc_stderr,none': 'N/A' });
    expect(one['n-samples']).toEqual({ arc_easy: { original: 5, effective: 1 } });
    const share = await run(dataDir, { limit: 0.5 });
    expect(share['n-samples'].arc_easy?.effective).toBe(3);
  });

  it('says what it ran on', async () => {
    const dataDir = folderWith({ 'ARC-Easy-Test.jsonl': questions });
    const results = await run(dataDir, { modelName: 'runs/a:b', batchSize: 2, limit: 2, backend: 'some' });
    expect(results.config).toMatchObject({ model_args: { pretrained: 'runs/a:b' }, batch_size: 2, limit: 2 });
    expect(results.config.device).toBe('some');
    expect(results.model_name_sanitized).toBe('runs__a__b');
    expect(results.configs.arc_easy?.dataset_kwargs).toEqual({
      data_files: { evaluation: join(dataDir, 'ARC-Easy-Test.jsonl') },
    });
    expect(results.tokenizer_eos_token).toEqual(['\0', '0']);
    expect(Math.abs(results.date - Date.now() / 1000)).toBeLessThan(60);
  });

  it('reports progress per task, up to all its requests', async () => {
    const dataDir = folderWith({ 'ARC-Easy-Test.jsonl': questions, 'perplexity/a.txt': 'x x' });
    const seen: string[] = [];
    const onProgress = (done: number, total: number, task: string) => seen.push(`${task} ${done}/${total}`);
    await run(dataDir, { tasks: ['arc_easy', 'perplexity'], batchSize: 6, onProgress });
    expect(seen).toEqual(['arc_easy 6/10', 'arc_easy 10/10', 'perplexity 1/1']);
  });

  it('runs a task of the reader’s own', async () => {
    const own: MultipleChoiceTask = {
      name: 'letters',
      version: 3,
      outputType: 'multiple_choice',
      data: { evaluation: ['letters.jsonl'], fewShot: [], general: [], form: 'a letter' },
      config: {},
      higherIsBetter: { acc: true, acc_norm: true },
      document: (row) => ({ query: 'Which?', choices: ['x', 'y'], gold: row === 'x' ? 0 : 1 }),
    };
    const results = await run(folderWith({ 'letters.jsonl': ['x', 'y'] }), { tasks: [own] });
    expect(results.results.letters?.['acc,none']).toBe(0.5);
    expect(results.versions).toEqual({ letters: 3 });
  });

  it('measures texts by word and by byte', async () => {
    const { results } = await run(folderWith({ 'notes.txt': 'x x', 'more.txt': 'é' }), { tasks: ['perplexity'] });
    const nats = 2 * Math.log(4) + 2 * Math.log(200); // "é" is one token of 200 and two bytes
    expect(results.perplexity?.['bits_per_byte,none']).toBeCloseTo(nats / Math.LN2 / 5, 5);
    expect(results.perplexity?.['byte_perplexity,none']).toBeCloseTo(Math.exp(nats / 5), 3);
    expect(Number(results.perplexity?.['word_perplexity,none']) / Math.exp(nats / 3)).toBeCloseTo(1, 5);
    expect(results.perplexity?.['word_perplexity_stderr,none']).toBe('N/A');
  });
});

describe('few-shot examples', () => {
  const asked = async (files: Record<string, readonly unknown[]>, options: Partial<EvaluateOptions>) => {
    const prompts: string[] = [];
    const spy = {
      ...characterTokenizer,
      encode: (text: string) => (prompts.push(text), characterTokenizer.encode(text)),
    };
    const dataDir = folderWith(files);
    await evaluate(contextualModel({ maxLength: 999 }), spy, { tasks: ['arc_easy'], dataDir, ...options });
    return prompts;
  };

  it('come with their answers, between blank lines, from the training file', async () => {
    const files = { 'ARC-Easy-Test.jsonl': [questions[2]], 'ARC-Easy-Train.jsonl': [arc('shown', ['u', 'v'], 'B')] };
    const prompts = await asked(files, { numFewshot: 1 });
    expect(prompts).toContain('Question: shown\nAnswer: v\n\nQuestion: both agree\nAnswer: x');
  });

  it('without a training file are other documents of the evaluation file, never the question itself', async () => {
    for (const seed of [1, 2, 3]) {
      const prompts = await asked({ 'ARC-Easy-Test.jsonl': questions }, { numFewshot: 3, seed });
      for (const prompt of prompts.filter((each) => each.split('Question:').length === 5)) {
        const stems = [...prompt.matchAll(/Question: (.*)/g)].map(([, stem]) => stem);
        expect(new Set(stems).size).toBe(4);
      }
    }
  });

  it('are the same for the same seed, and others for another', async () => {
    const files = { 'ARC-Easy-Test.jsonl': questions };
    const first = await asked(files, { numFewshot: 2, seed: 5 });
    expect(await asked(files, { numFewshot: 2, seed: 5 })).toEqual(first);
    expect(await asked(files, { numFewshot: 2, seed: 6 })).not.toEqual(first);
  });

  it('are refused where there are too few, and for texts', async () => {
    const dataDir = folderWith({ 'ARC-Easy-Test.jsonl': questions, 'a.txt': 'x' });
    await expect(run(dataDir, { numFewshot: 5 })).rejects.toThrow(
      'there are too few documents for 5 few-shot examples: expected at least 6, got 5',
    );
    await expect(run(dataDir, { tasks: ['perplexity'], numFewshot: 1 })).rejects.toThrow('takes no few-shot examples');
  });
});

describe('data files', () => {
  it.each([
    'ARC-Easy-Test.jsonl',
    'ARC-Easy/ARC-Easy-Test.jsonl',
    'arc_easy/test.jsonl',
    'arc_easy.jsonl',
    'test.jsonl',
  ])('of arc_easy are found as %s', async (name) => {
    const results = await run(folderWith({ [name]: questions }));
    expect(results['n-samples'].arc_easy?.original).toBe(5);
  });

  it('in the folder of the task come first, and general names last', async () => {
    const dataDir = folderWith({
      'test.jsonl': [questions[0]],
      'ARC-Easy-Test.jsonl': questions.slice(0, 2),
      'arc_easy/ARC-Easy-Test.jsonl': questions,
    });
    expect((await run(dataDir))['n-samples'].arc_easy?.original).toBe(5);
    rmSync(join(dataDir, 'arc_easy'), { recursive: true });
    expect((await run(dataDir))['n-samples'].arc_easy?.original).toBe(2);
  });

  it('that are missing are named', async () => {
    const dataDir = folderWith({});
    await expect(run(dataDir)).rejects.toThrow(
      `there is no data for arc_easy in ${dataDir}: expected ARC-Easy-Test.jsonl or ` +
        `ARC-Easy/ARC-Easy-Test.jsonl or arc_easy.jsonl or test.jsonl. The files may lie there or in ${dataDir}/arc_easy`,
    );
    await expect(run(join(dataDir, 'gone'))).rejects.toThrow(
      /gone, which does not exist: expected ARC-Easy-Test.jsonl/,
    );
    await expect(run(dataDir, { tasks: ['hellaswag'] })).rejects.toThrow('expected hellaswag_val.jsonl or');
    await expect(run(dataDir, { tasks: ['perplexity'] })).rejects.toThrow('expected files whose names end in .txt');
  });

  it('that are malformed are named with the line, and with the field', async () => {
    const good = JSON.stringify(questions[0]);
    const broken = folderWith({ 'ARC-Easy-Test.jsonl': `${good}\n\n{"question":` });
    await expect(run(broken)).rejects.toThrow(/ARC-Easy-Test\.jsonl:3 is not valid JSON: got .*JSON/);
    const incomplete = folderWith({ 'ARC-Easy-Test.jsonl': [questions[0], { question: { stem: 'x', choices: [] } }] });
    await expect(run(incomplete)).rejects.toThrow(/ARC-Easy-Test\.jsonl:2: question\.choices: expected at least 2/);
    await expect(run(folderWith({ 'ARC-Easy-Test.jsonl': '\n' }))).rejects.toThrow(/ARC-Easy-Test\.jsonl is empty/);
  });

  it('that are folders, or lie in a file, are named', async () => {
    const perplexity = { tasks: ['perplexity'] };
    const folder = folderWith({ 'perplexity/x.txt/y': 'x', 'c.txt': 'x' });
    await expect(run(folder, perplexity)).rejects.toThrow(DataError);
    await expect(run(folder, perplexity)).rejects.toThrow(/cannot read .*perplexity.x\.txt: got EISDIR/);
    const file = join(folder, 'c.txt');
    await expect(run(file, perplexity)).rejects.toThrow(`cannot look into ${file}: expected a folder of data files`);
    await expect(run(file)).rejects.toThrow(`there is no data for arc_easy in ${file}, which is a file`);
  });

  it('in a folder that may not be read are not called missing', async () => {
    const folder = folderWith({ 'a.txt': 'x' });
    const error = await withoutPermission(folder, () => run(folder, { tasks: ['perplexity'] }));
    expect(error).toBeInstanceOf(DataError);
    expect(String(error)).toContain(`cannot look into ${folder}: expected a folder of data files, got EACCES`);
  });

  it('that are not UTF-8 are refused, not measured with other characters', async () => {
    for (const [task, name] of [['perplexity', 'a.txt'] as const, ['arc_easy', 'ARC-Easy-Test.jsonl'] as const]) {
      const folder = folderWith({ [name]: '' });
      writeFileSync(join(folder, name), Buffer.from([0x46, 0xfc, 0x72]));
      await expect(run(folder, { tasks: [task] })).rejects.toThrow(`${join(folder, name)} is not UTF-8 text`);
    }
  });

  it('without text are refused, also where the limit leaves only such', async () => {
    const empty = (dataDir: string) =>
      `the texts for perplexity are empty: expected at least one document with text in it, got 1 without any in ${dataDir}`;
    const one = folderWith({ 'a.txt': '' });
    await expect(run(one, { tasks: ['perplexity'] })).rejects.toThrow(empty(one));
    const two = folderWith({ 'a.txt': '', 'b.txt': 'x' });
    await expect(run(two, { tasks: ['perplexity'], limit: 1 })).rejects.toThrow(empty(two));
    expect((await run(two, { tasks: ['perplexity'] }))['n-samples'].perplexity?.effective).toBe(2);
  });

  it('of all tasks are checked before the model runs', async () => {
    let batches = 0;
    const model = contextualModel({ maxLength: 200, onBatch: () => batches++ });
    const options = { tasks: ['arc_easy', 'hellaswag'], dataDir: folderWith({ 'ARC-Easy-Test.jsonl': questions }) };
    await expect(evaluate(model, characterTokenizer, options)).rejects.toThrow('there is no data for hellaswag');
    expect(batches).toBe(0);
  });

  it('may begin with a byte order mark and end without a line break', async () => {
    const dataDir = folderWith({ 'ARC-Easy-Test.jsonl': `\uFEFF${JSON.stringify(questions[0])}` });
    expect((await run(dataDir))['n-samples'].arc_easy?.original).toBe(1);
  });
});

describe('options', () => {
  it.each([
    [{ tasks: [] }, 'there is no task to run'],
    [{ tasks: ['arc'] }, 'there is no task "arc"'],
    [{ limit: 0 }, 'limit is wrong: expected a number above 0, got 0'],
    [{ numFewshot: 1.5 }, 'numFewshot is wrong: expected a whole number of at least 0, got 1.5'],
    [{ seed: -1 }, 'seed is wrong: expected a whole number from 0 to 4294967295, got -1'],
  ])('%o are refused', async (options, message) => {
    await expect(run(folderWith({ 'ARC-Easy-Test.jsonl': questions }), options)).rejects.toThrow(message);
  });
});

describe('metrics', () => {
  it('acc_norm divides by code points, not by UTF-16 units', () => {
    // −3 / 2 < −1.4 only if 🍕🍕 counts as two characters
    expect(choiceOutcome([-3, -1.4], ['🍕🍕', 'x'], 1).acc_norm).toBe(1);
    expect(choiceOutcome([-2.7, -1.4], ['🍕🍕', 'x'], 1).acc_norm).toBe(0);
  });

  it('the standard error is that of the mean, from the sample’s deviation', () => {
    expect(meanEstimate([0, 1, 1, 0])).toEqual({ value: 0.5, stderr: Math.sqrt(1 / 3) / 2 });
    expect(meanEstimate([1])).toEqual({ value: 1, stderr: null });
  });
});
