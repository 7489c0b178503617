import { CheckpointError } from '@vwn/core';
import { resolveCheckpointDir } from '@vwn/layers/checkpoint';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { TrainConfig } from '../train-config';
import { tokenFiles } from './prepare';

export interface WeightsOrigin {
  /** The checkpoint whose weights a new run starts from. */
  readonly init: string | undefined;
  /** The run's own checkpoint that it goes on from. */
  readonly resumed: string | undefined;
}

/**
 * The tokenizer that the weights were trained with, since ids of another would mean nothing to them; a new run may name
 * the file itself (a path in data.tokenizer). None where weights or data have none.
 * @throws CheckpointError
 */
export async function tokenizerOfWeights(
  { data }: TrainConfig,
  { init, resumed }: WeightsOrigin,
  emit: (message: string) => void,
): Promise<string | undefined> {
  const dir = resumed ?? (init === undefined ? undefined : await resolveCheckpointDir(init));
  if (dir === undefined || tokenFiles(data.corpus)) return undefined;
  if (resumed === undefined && typeof data.tokenizer === 'string') return undefined;
  const file = join(dir, 'tokenizer.json');
  if (existsSync(file)) {
    if (resumed === undefined && data.tokenizer !== undefined)
      emit(`using the tokenizer of ${dir}, with which its weights were trained`);
    return file;
  }
  throw new CheckpointError(`${dir} has no tokenizer.json`, {
    expected: 'the tokenizer that its weights were trained with',
    hint: resumed === undefined ? 'Name it in data.tokenizer' : 'Is the checkpoint folder complete?',
  });
}
