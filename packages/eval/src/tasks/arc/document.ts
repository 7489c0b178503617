import { DataError } from '@vwn/core';
import { z } from 'zod';
import { parseRow } from '../data-files';
import type { MultipleChoiceDocument } from '../task';

/** The forms in which ARC (Clark et al. 2018, arXiv 1803.05457) is passed around. */
export const arcForm =
  'ARC’s published form {"id", "question": {"stem", "choices": [{"text", "label"}]}, "answerKey"}, Hugging Face’s ' +
  '{"question", "choices": {"text": [], "label": []}, "answerKey"}, or {"question", "options": [{"label", "text"}], "answer"}';

const choice = z.object({ text: z.string(), label: z.string() });
const choices = z.array(choice).min(2);

const published = z.object({ question: z.object({ stem: z.string(), choices }), answerKey: z.string() });
const huggingFace = z.object({
  question: z.string(),
  choices: z.object({ text: z.array(z.string()).min(2), label: z.array(z.string()) }),
  answerKey: z.string(),
});
const simple = z.object({ question: z.string(), options: choices, answer: z.string() });

interface Question {
  readonly stem: string;
  readonly texts: readonly string[];
  readonly labels: readonly string[];
  readonly answer: string;
  /** Name of the answer's field, for errors. */
  readonly field: string;
}

/** An ARC question as lm-evaluation-harness puts it (`arc_easy.yaml`). @throws DataError */
export function arcDocument(row: unknown, where: string): MultipleChoiceDocument {
  const { stem, texts, labels, answer, field } = readQuestion(row, where);
  const gold = labels.indexOf(answer);
  if (gold < 0 || gold >= texts.length)
    throw new DataError(`${where}: ${field} names none of the choices`, {
      expected: labels.map((label) => JSON.stringify(label)).join(' or '),
      got: JSON.stringify(answer),
    });
  return { query: `Question: ${stem}\nAnswer:`, choices: texts, gold };
}

function readQuestion(row: unknown, where: string): Question {
  const fields = (typeof row === 'object' && row !== null ? row : {}) as Record<string, unknown>;
  if (typeof fields.question === 'object') {
    const { question, answerKey: answer } = parseRow(published, row, where, arcForm);
    return { stem: question.stem, ...columns(question.choices), answer, field: 'answerKey' };
  }
  if ('options' in fields) {
    const { question: stem, options, answer } = parseRow(simple, row, where, arcForm);
    return { stem, ...columns(options), answer, field: 'answer' };
  }
  const { question: stem, choices: listed, answerKey: answer } = parseRow(huggingFace, row, where, arcForm);
  return { stem, texts: listed.text, labels: listed.label, answer, field: 'answerKey' };
}

function columns(listed: readonly z.infer<typeof choice>[]): Pick<Question, 'texts' | 'labels'> {
  return { texts: listed.map(({ text }) => text), labels: listed.map(({ label }) => label) };
}
