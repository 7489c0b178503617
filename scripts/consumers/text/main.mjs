import assert from 'node:assert/strict';
import { readCorpus, Tokenizer, trainBpe } from '@vwn/text';

const [first] = await readCorpus('sotu');
const tokenizer = Tokenizer.fromJson(trainBpe([first.text], { vocabSize: 300 }));
assert.equal(tokenizer.decode(tokenizer.encode('Fellow citizens')), 'Fellow citizens');
