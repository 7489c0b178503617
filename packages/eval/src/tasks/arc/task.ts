import { DataError } from '@vwn/core';
import type { Task } from '../task';
import { requireGold, textField } from '../fields';

type Json = Record<string, unknown>;

interface ArcRecord {
  readonly question: string;
  readonly choices: readonly { readonly label: string; readonly text: string }[];
  readonly answer: string;
}

/** AI2's release, Hugging Face's columns, or a flat form: three ways in which ARC's records are published. */
function parseRecord(record: Json, where: string): ArcRecord {
  const { question, choices, options } = record;
  if (question !== null && typeof question === 'object')
    return {
      question: textField(question as Json, 'stem', where),
      choices: parseChoices((question as Json).choices, where),
      answer: textField(record, 'answerKey', where),
    };
  if (options !== undefined)
    return {
      question: textField(record, 'question', where),
      choices: parseChoices(options, where),
      answer: textField(record, 'answer', where),
    };
  const { text, label } = (choices ?? {}) as { text?: unknown[]; label?: unknown[] };
  const pairs = Array.isArray(text) ? text.map((each, i) => ({ text: each, label: label?.[i] })) : choices;
  return {
    question: textField(record, 'question', where),
    choices: parseChoices(pairs, where),
    answer: textField(record, 'answerKey', where),
  };
}

function parseChoices(value: unknown, where: string): ArcRecord['choices'] {
  const isChoice = (each: Json) => typeof each?.label === 'string' && typeof each?.text === 'string';
  if (Array.isArray(value) && value.length > 0 && value.every(isChoice)) return value as ArcRecord['choices'];
  throw new DataError(`${where}: the choices are not labelled texts`, {
    expected: '[{ "label": "A", "text": "…" }, …]',
    got: JSON.stringify(value)?.slice(0, 80) ?? 'nothing',
  });
}

function arcTask(name: string, files: readonly string[]): Task {
  return {
    name,
    version: 1,
    files,
    split: 'test',
    targetDelimiter: ' ',
    fewshotDelimiter: '\n\n',
    read: (record, where) => {
      const { question, choices, answer } = parseRecord(record, where);
      const index = choices.findIndex(({ label }) => label === answer);
      const gold = requireGold(index, choices.length, where, answer);
      return { context: `Question: ${question}\nAnswer:`, choices: choices.map(({ text }) => text), gold };
    },
  };
}

/** ARC (Clark et al. 2018): grade-school science questions. */
export const arcChallenge = arcTask('arc_challenge', [
  'ARC-Challenge-Test.jsonl',
  'ARC-Challenge/ARC-Challenge-Test.jsonl',
  'arc_challenge.jsonl',
  'arc_challenge/test.jsonl',
]);
export const arcEasy = arcTask('arc_easy', [
  'ARC-Easy-Test.jsonl',
  'ARC-Easy/ARC-Easy-Test.jsonl',
  'arc_easy.jsonl',
  'arc_easy/test.jsonl',
]);
