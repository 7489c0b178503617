import type { Task } from '../task';
import { requireGold, textField, textsField } from '../fields';

/** The harness's cleaning of WikiHow text: `[title]` ends a sentence, other brackets and double spaces go. */
export function cleanText(text: string): string {
  return text
    .trim()
    .replaceAll(' [title]', '. ')
    .replace(/\[.*?\]/g, '')
    .replaceAll('  ', ' ');
}

/** Python's str.capitalize(): the first character upper, all others lower case. */
export function capitalize(text: string): string {
  const [first = '', ...rest] = text;
  return first.toUpperCase() + rest.join('').toLowerCase();
}

/** HellaSwag (Zellers et al. 2019): which sentence comes next? */
export const hellaswag: Task = {
  name: 'hellaswag',
  version: 1,
  files: ['hellaswag_val.jsonl', 'hellaswag/hellaswag_val.jsonl', 'hellaswag.jsonl', 'hellaswag/validation.jsonl'],
  split: 'validation',
  targetDelimiter: ' ',
  fewshotDelimiter: '\n\n',
  read: (record, where) => {
    const activity = textField(record, 'activity_label', where);
    const context = `${textField(record, 'ctx_a', where)} ${capitalize(textField(record, 'ctx_b', where))}`;
    const choices = textsField(record, 'endings', where).map(cleanText);
    const gold = requireGold(Number(record.label), choices.length, where, record.label);
    return { context: cleanText(`${activity}: ${context}`), choices, gold };
  },
};
