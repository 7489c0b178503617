import { DataError } from '@vwn/core';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describeFolder, namesIn, readText } from '../data-files';
import type { RollingTask } from '../task';

const extension = '.txt';

/** The user's own texts, measured as lm-evaluation-harness's `wikitext` is, without its detokenisation. */
export const perplexity: RollingTask = {
  name: 'perplexity',
  version: 1,
  outputType: 'loglikelihood_rolling',
  config: { test_split: 'test', doc_to_text: '', doc_to_target: '{{text}}' },
  higherIsBetter: { word_perplexity: false, byte_perplexity: false, bits_per_byte: false },
  async documents(dataDir: string): Promise<readonly string[]> {
    const own = join(dataDir, 'perplexity');
    const folder = existsSync(own) ? own : dataDir;
    const names = (await namesIn(folder)).filter((name) => name.endsWith(extension)).sort();
    if (names.length === 0)
      throw new DataError(`there is no text for perplexity in ${describeFolder(folder)}`, {
        expected: `files whose names end in ${extension}, each one document`,
        hint: `Put them into ${own}`,
      });
    const texts: string[] = [];
    for (const name of names) texts.push(await readText(join(folder, name)));
    return texts;
  },
};
