import { describe, expect, it } from 'vitest';
import { arcChallenge } from '../src/tasks/arc_challenge/task';
import { arcEasy } from '../src/tasks/arc_easy/task';
import { findTask } from '../src/tasks';
import { capitalize, codePointLength, splitAtWhitespace, strip } from '../src/python-text';
import { hellaswag, withoutArtifacts } from '../src/tasks/hellaswag/task';

const hellaswagRow = {
  ind: 14,
  activity_label: 'How to polish a shoe',
  ctx_a: '[header] How to polish a shoe [title] Brush off the dust. [step] Use a soft  brush.',
  ctx_b: 'then YOU',
  endings: ['wait.', '[title] Buff it. [substeps] Slowly.', 'eat it.', 'leave.'],
  label: 1,
};
const choices = [
  { text: 'ice', label: 'A' },
  { text: 'steam', label: 'B' },
];
const document = { query: 'Question: Which is hot?\nAnswer:', choices: ['ice', 'steam'], gold: 1 };

describe('hellaswag', () => {
  it('makes the prompt of lm-evaluation-harness from the published form', () => {
    expect(hellaswag.document(hellaswagRow, 'x:1')).toEqual({
      query: 'How to polish a shoe: How to polish a shoe. Brush off the dust. Use a soft brush. Then you',
      choices: ['wait.', ' Buff it. Slowly.', 'eat it.', 'leave.'],
      gold: 1,
    });
  });

  it('reads labels as Hugging Face writes them', () => {
    expect(hellaswag.document({ ...hellaswagRow, label: '3' }, 'x:1').gold).toBe(3);
  });

  it('names place and field of what is wrong', () => {
    const { ctx_a: _, ...rest } = hellaswagRow;
    expect(() => hellaswag.document(rest, 'val.jsonl:7')).toThrow('val.jsonl:7: ctx_a: expected a text, it is missing');
    expect(() => hellaswag.document({ ...hellaswagRow, label: 4 }, 'val.jsonl:7')).toThrow(
      'val.jsonl:7: label: expected the number of one of the endings, from 0, got 4',
    );
    expect(() => hellaswag.document({ ...hellaswagRow, label: '' }, 'val.jsonl:7')).toThrow('val.jsonl:7: label');
    expect(() => hellaswag.document([], 'val.jsonl:7')).toThrow('A line holds HellaSwag’s published form');
  });

  it('removes brackets within a line, the first of two spaces, and outer whitespace', () => {
    expect(withoutArtifacts(' a [b] c\n[d\ne]   f ')).toBe('a c\n[d\ne]  f');
  });
});

describe('arc_challenge and arc_easy', () => {
  it.each([arcChallenge, arcEasy])('$name reads all three forms alike', (task) => {
    const published = { id: 'q', question: { stem: 'Which is hot?', choices }, answerKey: 'B' };
    const columns = { text: ['ice', 'steam'], label: ['A', 'B'] };
    const huggingFace = { id: 'q', question: 'Which is hot?', choices: columns, answerKey: 'B' };
    const simple = { index: 0, question: 'Which is hot?', options: choices, answer: 'B' };
    for (const row of [published, huggingFace, simple]) expect(task.document(row, 'x:1')).toEqual(document);
  });

  it('finds answers among numbers too', () => {
    const numbered = choices.map(({ text }, i) => ({ text, label: String(i + 1) }));
    const row = { question: { stem: 'Which is hot?', choices: numbered }, answerKey: '2' };
    expect(arcEasy.document(row, 'x:1').gold).toBe(1);
  });

  it('names place and field of what is wrong', () => {
    const read = (row: unknown) => () => arcEasy.document(row, 'test.jsonl:3');
    expect(read({ question: { choices }, answerKey: 'A' })).toThrow(
      'test.jsonl:3: question.stem: expected a text, it is missing',
    );
    expect(read({ question: 'x', options: [choices[0], { text: 'y' }], answer: 'A' })).toThrow(
      'test.jsonl:3: options.1.label: expected a text, it is missing',
    );
    expect(read({ question: 'x', options: choices, answer: 'E' })).toThrow(
      'test.jsonl:3: answer names none of the choices: expected "A" or "B", got "E"',
    );
    expect(read(17)).toThrow('A line holds ARC’s published form');
  });
});

describe('findTask', () => {
  it('names the tasks there are', () => {
    expect(() => findTask('arc')).toThrow(
      'there is no task "arc": expected arc_challenge, arc_easy, hellaswag, perplexity',
    );
  });
});

describe('Python’s text functions', () => {
  it('capitalise as str.capitalize', () => {
    const cases = { 'éMILE Z': 'Émile z', 'ßo x': 'Sso x', ﬁT: 'Fit', '': '', '𐐨𐐀': '𐐀𐐨' };
    for (const [text, expected] of Object.entries(cases)) expect(capitalize(text)).toBe(expected);
  });

  it('strip what Python counts as whitespace', () => {
    expect(strip('\x1c\u2003 hi \x85\n')).toBe('hi');
    expect(strip('\ufeffhi')).toBe('\ufeffhi');
  });

  it('count code points and split with empty ends', () => {
    expect(codePointLength('🍕é')).toBe(2);
    expect(splitAtWhitespace(' a\u00a0\nb ')).toEqual(['', 'a', 'b', '']);
  });
});
