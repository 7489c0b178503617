import { CheckpointError } from '@vwn/core';
import { existsSync } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryMark } from './atomic-write';
import type { StoredTensor } from '../parameters';
import { readSafetensors } from './safetensors';

export const modelFile = 'model.safetensors';
export const indexFile = 'model.safetensors.index.json';

/**
 * The checkpoint folder that a path means: the folder itself when it has a config.json, else (a run's folder) its
 * `checkpoint-<step>` of the highest step. Folders that are still being written have another name.
 * @throws CheckpointError
 */
export async function resolveCheckpointDir(path: string): Promise<string> {
  if (!existsSync(path)) throw new CheckpointError(`there is no checkpoint at ${path}`, { hint: 'Check the path' });
  if (!(await stat(path)).isDirectory())
    throw new CheckpointError(`${path} is a file`, {
      expected: 'a checkpoint folder with config.json and model.safetensors',
    });
  if (existsSync(join(path, 'config.json'))) return path;
  const newest = (await completeCheckpoints(path)).at(-1);
  if (newest) return newest.dir;
  throw new CheckpointError(`${path} is not a checkpoint and holds none`, {
    expected: 'config.json, or checkpoint-<step> folders',
    hint: 'A run’s first checkpoint is written after its first save_steps steps',
  });
}

/** The complete `checkpoint-<step>` folders of a run, in the order of their steps. */
export async function completeCheckpoints(runDir: string): Promise<{ step: number; dir: string }[]> {
  const names = await readdir(runDir).catch(() => [] as string[]);
  return names
    .filter((name) => /^checkpoint-\d+$/.test(name) && !name.includes(temporaryMark))
    .map((name) => ({ step: Number(name.slice('checkpoint-'.length)), dir: join(runDir, name) }))
    .sort((a, b) => a.step - b.step);
}

/** A JSON file of a checkpoint. @throws CheckpointError naming the file and what is wrong with it */
export async function readCheckpointJson(file: string): Promise<unknown> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new CheckpointError(`cannot read ${file}`, {
      got: cause instanceof Error ? cause.message : String(cause),
      hint: 'Is the checkpoint folder complete?',
      cause,
    });
  });
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new CheckpointError(`${file} is not valid JSON`, {
      got: cause instanceof Error ? cause.message : String(cause),
      hint: 'The file is damaged or was not written completely; copy or download it again',
      cause,
    });
  }
}

/** All tensors of a checkpoint, from one file or from its shards. @throws CheckpointError */
export async function readModelTensors(dir: string): Promise<Map<string, StoredTensor>> {
  if (!existsSync(join(dir, indexFile))) return readSafetensors(join(dir, modelFile));
  const index = await readCheckpointJson(join(dir, indexFile));
  const map = (index as { weight_map?: unknown } | null)?.weight_map;
  if (map === null || typeof map !== 'object')
    throw new CheckpointError(`${join(dir, indexFile)} has no weight_map`, {
      expected: 'tensor names and the files that hold them',
    });
  const tensors = new Map<string, StoredTensor>();
  for (const shard of new Set(Object.values(map as Record<string, string>))) {
    if (shard.includes('/') || shard.includes('\\'))
      throw new CheckpointError(`${join(dir, indexFile)} names a shard outside its folder`, { got: shard });
    for (const [name, tensor] of await readSafetensors(join(dir, shard))) tensors.set(name, tensor);
  }
  const missing = Object.keys(map).filter((name) => !tensors.has(name));
  if (missing.length > 0)
    throw new CheckpointError(`the shards of ${dir} lack tensors that the index names`, {
      got: missing.slice(0, 5).join(', '),
    });
  return tensors;
}
