import type { MultipleChoiceTask } from '../task';
import { arcDocument, arcForm } from './document';

/** One of ARC's two sets; `published` is its name in the authors' archive, ARC-Challenge or ARC-Easy. */
export function arcTask(name: string, published: string): MultipleChoiceTask {
  const files = (split: string) => [`${published}-${split}.jsonl`, `${published}/${published}-${split}.jsonl`];
  return {
    name,
    version: 1,
    outputType: 'multiple_choice',
    data: {
      evaluation: [...files('Test'), `${name}.jsonl`],
      fewShot: files('Train'),
      general: ['test.jsonl'],
      form: arcForm,
    },
    config: {
      tag: ['ai2_arc'],
      dataset_name: published,
      test_split: 'test',
      doc_to_text: 'Question: {{question}}\nAnswer:',
      doc_to_target: '{{choices.label.index(answerKey)}}',
      doc_to_choice: '{{choices.text}}',
    },
    higherIsBetter: { acc: true, acc_norm: true },
    document: arcDocument,
  };
}
