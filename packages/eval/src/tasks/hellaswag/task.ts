import { z } from 'zod';
import { capitalize, strip } from '../../python-text';
import { parseRow } from '../data-files';
import type { MultipleChoiceDocument, MultipleChoiceTask } from '../task';

/** HellaSwag (Zellers et al. 2019, arXiv 1905.07830), prompts of lm-evaluation-harness's `hellaswag` 1.0. */
const form =
  'HellaSwag’s published form: {"ind", "activity_label", "ctx_a", "ctx_b", "endings": [four texts], "label": 0 to 3}';

const row = z
  .object({
    activity_label: z.string(),
    ctx_a: z.string(),
    ctx_b: z.string(),
    endings: z.array(z.string()).min(2),
    // a number in the authors' file, a text in Hugging Face's copy; '' in the test split, whose labels are not published
    label: z.union([z.int(), z.string().regex(/^\d+$/, 'expected the number of the right ending')]).transform(Number),
  })
  .refine(({ label, endings }) => label >= 0 && label < endings.length, {
    path: ['label'],
    message: 'expected the number of one of the endings, from 0',
  });

export const hellaswag: MultipleChoiceTask = {
  name: 'hellaswag',
  version: 1,
  outputType: 'multiple_choice',
  data: {
    evaluation: ['hellaswag_val.jsonl', 'hellaswag.jsonl'],
    fewShot: ['hellaswag_train.jsonl'],
    general: ['validation.jsonl', 'val.jsonl'],
    form,
  },
  config: {
    tag: ['multiple_choice'],
    validation_split: 'validation',
    doc_to_text: '{{query}}',
    doc_to_target: '{{label}}',
    doc_to_choice: 'choices',
  },
  higherIsBetter: { acc: true, acc_norm: true },
  document(input: unknown, where: string): MultipleChoiceDocument {
    const { activity_label: activity, ctx_a: a, ctx_b: b, endings, label } = parseRow(row, input, where, form);
    return {
      query: withoutArtifacts(`${activity}: ${a} ${capitalize(b)}`),
      choices: endings.map(withoutArtifacts),
      gold: label,
    };
  },
};

/** Brackets are left over from WikiHow pages: `preprocess` of lm-evaluation-harness's utils.py, step by step. */
export function withoutArtifacts(text: string): string {
  return strip(text)
    .replaceAll(' [title]', '. ')
    .replace(/\[[^\n]*?\]/g, '')
    .replaceAll('  ', ' ');
}
