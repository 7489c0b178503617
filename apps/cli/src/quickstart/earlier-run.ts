import { ConfigError } from '@vwn/core';
import { isTemporary } from '@vwn/layers/checkpoint';
import { parseTrainConfig, type TrainConfig } from '@vwn/trainer';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { listFolder } from '../files';
import { quickstartConfig, type Contestant } from './settings';

/** The files of a run, as `vwn train` names them. */
const ofRuns = /^(config\.yaml|metrics\.jsonl|checkpoint-\d+)$/;

/**
 * What quickstart made, it may delete, since it can make it again; anything else is the user's.
 * @throws ConfigError naming what is in the way; StorageError
 */
export function requireReplaceable(dir: string, contestant: Contestant): void {
  const inTheWay = foreign(dir, contestant);
  if (inTheWay === undefined) return;
  throw new ConfigError(`${dir} holds something else than an earlier quickstart`, {
    got: inTheWay,
    hint: 'Choose another folder (--out), or have what is there deleted (--force)',
  });
}

/** Something in the folder that quickstart did not make. */
function foreign(dir: string, contestant: Contestant): string | undefined {
  const names = listFolder(dir).filter((name) => !isTemporary(name));
  const other = names.find((name) => !ofRuns.test(name));
  if (other !== undefined) return other;
  if (names.length === 0 || isQuickstart(join(dir, 'config.yaml'), contestant)) return undefined;
  return 'a run of another configuration';
}

function isQuickstart(file: string, contestant: Contestant): boolean {
  if (!existsSync(file)) return false;
  try {
    const found = parseTrainConfig(readFileSync(file, 'utf8'));
    return isDeepStrictEqual(
      withoutTokenizer(found),
      withoutTokenizer(quickstartConfig(contestant, found.train.max_steps)),
    );
  } catch (error) {
    if (error instanceof ConfigError) return false;
    throw error;
  }
}

/** The second contestant's is the first one's, wherever that was. */
const withoutTokenizer = ({ model, data: { corpus, holdout }, train }: TrainConfig) => ({
  model,
  data: { corpus, holdout },
  train,
});
