import { ConfigError, DataError } from '@vwn/core';
import { FewShotSampler, targetDelimiter } from './few-shot/examples';
import type { EvaluableModel } from './language-model';
import { choiceOutcome, meanEstimate, textMetrics, type TextLikelihood } from './metrics';
import { splitAtWhitespace } from './python-text';
import { logLikelihoods, rollingLogLikelihood, type LogLikelihood, type RequestOptions } from './requests';
import type { EvalTokenizer } from './scoring-model';
import { describeFolder, findDataFile, readJsonLines } from './tasks/data-files';
import type { MultipleChoiceDocument, MultipleChoiceTask, RollingTask, Task, TaskOutcome } from './tasks/task';

export interface RunOptions extends RequestOptions {
  readonly dataDir: string;
  /** At most so many documents; below 1, that share of them. */
  readonly limit?: number;
  readonly numFewshot: number;
  /** Of the few-shot examples. */
  readonly seed: number;
}

/** A task whose data are read and checked. */
export type PreparedTask = (model: EvaluableModel, tokenizer: EvalTokenizer) => Promise<TaskOutcome>;

/** Reads the data of a task, so that what is wrong with them shows before any model runs. @throws DataError, ConfigError */
export function prepareTask(task: Task, options: RunOptions): Promise<PreparedTask> {
  return task.outputType === 'multiple_choice' ? prepareMultipleChoice(task, options) : prepareRolling(task, options);
}

async function prepareMultipleChoice(task: MultipleChoiceTask, options: RunOptions): Promise<PreparedTask> {
  const file = requireDataFile(task, options.dataDir);
  const all = await readJsonLines(file, (row, where) => task.document(row, where));
  const documents = limited(all, options.limit);
  const { sampler, fewShotFile } = await fewShotSampler(task, all, options);
  const requests = documents.flatMap((document) => {
    const context = sampler.prompt(document);
    return document.choices.map((choice) => ({ context, continuation: targetDelimiter + choice }));
  });
  const facts = {
    task,
    original: all.length,
    effective: documents.length,
    numFewshot: options.numFewshot,
    dataFiles: { evaluation: file, ...(fewShotFile === undefined ? {} : { fewshot: fewShotFile }) },
  };
  return async (model, tokenizer) => {
    const answers = await logLikelihoods(model, tokenizer, requests, { ...options, greedy: false });
    return { ...facts, metrics: choiceMetrics(documents, answers) };
  };
}

/** `answers` hold one log-likelihood a choice, document after document. */
function choiceMetrics(documents: readonly MultipleChoiceDocument[], answers: readonly LogLikelihood[]) {
  let next = 0;
  const outcomes = documents.map(({ choices, gold }) => {
    const own = answers.slice(next, (next += choices.length));
    return choiceOutcome(
      own.map(({ logprob }) => logprob),
      choices,
      gold,
    );
  });
  return {
    acc: meanEstimate(outcomes.map(({ acc }) => acc)),
    acc_norm: meanEstimate(outcomes.map(({ acc_norm: norm }) => norm)),
  };
}

async function prepareRolling(task: RollingTask, options: RunOptions): Promise<PreparedTask> {
  if (options.numFewshot !== 0)
    throw new ConfigError(`${task.name} takes no few-shot examples`, {
      expected: '0',
      got: String(options.numFewshot),
      hint: 'Run it apart from the tasks that do',
    });
  const all = await task.documents(options.dataDir);
  const documents = limited(all, options.limit);
  if (documents.every((text) => text === ''))
    throw new DataError(`the texts for ${task.name} are empty`, {
      expected: 'at least one document with text in it',
      got: `${documents.length} without any in ${options.dataDir}`,
    });
  const facts = {
    task,
    original: all.length,
    effective: documents.length,
    numFewshot: 0,
    dataFiles: { evaluation: options.dataDir },
  };
  return async (model, tokenizer) => {
    const texts: TextLikelihood[] = [];
    for (const text of documents) {
      const logprob = await rollingLogLikelihood(model, tokenizer, text, { ...options, onProgress: () => undefined });
      texts.push({ logprob, words: splitAtWhitespace(text).length, bytes: Buffer.byteLength(text) });
      options.onProgress?.(texts.length, documents.length);
    }
    const metrics = Object.entries(textMetrics(texts)).map(([name, value]) => [name, { value, stderr: null }] as const);
    return { ...facts, metrics: Object.fromEntries(metrics) };
  };
}

function requireDataFile({ name, data }: MultipleChoiceTask, dataDir: string): string {
  const file = findDataFile(dataDir, name, { names: data.evaluation, general: data.general });
  if (file !== undefined) return file;
  throw new DataError(`there is no data for ${name} in ${describeFolder(dataDir)}`, {
    expected: [...data.evaluation, ...data.general].join(' or '),
    hint: `The files may lie there or in ${dataDir}/${name}; a line holds ${data.form}`,
  });
}

async function fewShotSampler(
  task: MultipleChoiceTask,
  evaluated: readonly MultipleChoiceDocument[],
  { dataDir, numFewshot, seed }: RunOptions,
): Promise<{ sampler: FewShotSampler; fewShotFile?: string }> {
  const fewShotFile = numFewshot === 0 ? undefined : findDataFile(dataDir, task.name, { names: task.data.fewShot });
  if (fewShotFile === undefined)
    return { sampler: new FewShotSampler({ documents: evaluated, drawsSpare: true }, numFewshot, seed) };
  const documents = await readJsonLines(fewShotFile, (row, where) => task.document(row, where));
  const drawsSpare = task.config.test_split === undefined;
  return { sampler: new FewShotSampler({ documents, drawsSpare }, numFewshot, seed), fewShotFile };
}

/** lm-evaluation-harness's `get_sample_size`. */
function limited<T>(documents: readonly T[], limit: number | undefined): readonly T[] {
  if (limit === undefined) return documents;
  return documents.slice(0, limit < 1 ? Math.ceil(documents.length * limit) : Math.floor(limit));
}
