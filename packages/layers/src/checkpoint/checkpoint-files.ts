import { CheckpointError } from '@vwn/core';
import { statSync, type Stats } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import type { StoredTensor } from '../parameters';
import { isSystemError, isTemporary } from './atomic-write';
import { splitFusedExperts } from './fused-experts';
import { readSafetensors } from './safetensors';

export const modelFile = 'model.safetensors';
export const indexFile = 'model.safetensors.index.json';
export const configFile = 'config.json';

/**
 * The checkpoint folder that a path means: the folder itself when it has a config.json, else (a run's folder) its
 * complete `checkpoint-<step>` of the highest step. A folder that was still being written is never one.
 * @throws CheckpointError
 */
export async function resolveCheckpointDir(path: string): Promise<string> {
  const found = lookAt(path);
  if (!found) throw new CheckpointError(`there is no checkpoint at ${path}`, { hint: 'Check the path' });
  if (!found.isDirectory())
    throw new CheckpointError(`${path} is a file`, {
      expected: 'a checkpoint folder with config.json and model.safetensors',
    });
  if (isTemporary(path))
    throw new CheckpointError(`${path} is a checkpoint that was not written completely`, {
      hint: 'Name the run’s folder, which means its newest complete checkpoint, and delete this one',
    });
  if (lookAt(join(path, configFile))) return path;
  const newest = (await completeCheckpoints(path)).at(-1);
  if (newest) return newest.dir;
  throw new CheckpointError(`${path} is not a checkpoint and holds none`, {
    expected: 'config.json, or checkpoint-<step> folders',
    hint: 'A run’s first checkpoint is written after its first save_steps steps',
  });
}

/**
 * The complete `checkpoint-<step>` folders of a run, in the order of their steps; none where there is no run.
 * @throws CheckpointError for a folder that may not be read: an older checkpoint would stand for one that is there
 */
export async function completeCheckpoints(runDir: string): Promise<{ step: number; dir: string }[]> {
  if (!lookAt(runDir)) return [];
  const names = await readdir(runDir).catch((cause: unknown) => {
    throw unreadable(runDir, cause);
  });
  return names
    .filter(isCheckpointName)
    .map((name) => ({ step: Number(name.slice('checkpoint-'.length)), dir: join(runDir, name) }))
    .filter(({ dir }) => isComplete(dir))
    .sort((a, b) => a.step - b.step);
}

/** Whether a run would give a checkpoint that name. */
export function isCheckpointName(path: string): boolean {
  return /^checkpoint-\d+$/.test(basename(resolve(path)));
}

/** Our own are complete once they have their name; a copy that was interrupted may not be. */
function isComplete(dir: string): boolean {
  const has = (name: string) => lookAt(join(dir, name)) !== undefined;
  return has(configFile) && (has(modelFile) || has(indexFile));
}

/** What is at a path, undefined where nothing is. @throws CheckpointError where that cannot be told */
function lookAt(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch (cause) {
    if (isSystemError(cause) && (cause.code === 'ENOENT' || cause.code === 'ENOTDIR')) return undefined;
    throw unreadable(path, cause);
  }
}

function unreadable(path: string, cause: unknown): unknown {
  if (!isSystemError(cause)) return cause;
  return new CheckpointError(`cannot read ${path}`, {
    got: cause.message,
    hint: 'Check the permissions of the folder',
    cause,
  });
}

/** A JSON file of a checkpoint. @throws CheckpointError naming the file and what is wrong with it */
export async function readCheckpointJson(file: string): Promise<unknown> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    if (!isSystemError(cause)) throw cause;
    throw new CheckpointError(`cannot read ${file}`, {
      got: cause.message,
      hint: 'Is the checkpoint folder complete?',
      cause,
    });
  });
  try {
    return JSON.parse(text.replace(/^\uFEFF/, '')); // editors on Windows begin a file with a byte order mark
  } catch (cause) {
    throw new CheckpointError(`${file} is not valid JSON`, {
      got: cause instanceof Error ? cause.message : String(cause),
      hint: 'The file is damaged or was not written completely; copy or download it again',
      cause,
    });
  }
}

/** Stored in old Llama checkpoints, computed here. */
const computed = /rotary_emb\.inv_freq$/;

/**
 * All tensors of a checkpoint under the names of our parameters, from one file or from its shards; of both, as in
 * transformers, the one file.
 * @throws CheckpointError
 */
export async function readModelTensors(dir: string): Promise<Map<string, StoredTensor>> {
  const stored = [...(await readStoredTensors(dir))].filter(([name]) => !computed.test(name));
  return splitFusedExperts(new Map(stored));
}

async function readStoredTensors(dir: string): Promise<Map<string, StoredTensor>> {
  const single = join(dir, modelFile);
  const index = join(dir, indexFile);
  if (lookAt(single)) return readSafetensors(single);
  if (lookAt(index)) return readShards(dir, index);
  throw new CheckpointError(`${dir} has no weights`, {
    expected: `${modelFile} or ${indexFile}`,
    hint: lookAt(join(dir, 'pytorch_model.bin'))
      ? 'Its pytorch_model.bin is not read; save it as safetensors with transformers (save_pretrained)'
      : 'Is the checkpoint folder complete?',
  });
}

async function readShards(dir: string, index: string): Promise<Map<string, StoredTensor>> {
  const shardOf = parseWeightMap(await readCheckpointJson(index), index);
  const tensors = new Map<string, StoredTensor>();
  for (const shard of new Set(shardOf.values()))
    for (const [name, tensor] of await readSafetensors(join(dir, shard))) {
      if ((shardOf.get(name) ?? shard) === shard) tensors.set(name, tensor);
    }
  const missing = [...shardOf].filter(([name]) => !tensors.has(name));
  if (missing.length === 0) return tensors;
  throw new CheckpointError(`${index} names tensors that are not where it says`, {
    got: missing.map(([name, shard]) => `${name} (${shard})`).join(', '),
    hint: 'Index and shards belong to different checkpoints; copy or download the folder again',
  });
}

function parseWeightMap(value: unknown, index: string): Map<string, string> {
  const map = (value as { weight_map?: unknown } | null)?.weight_map;
  if (map === null || typeof map !== 'object' || Array.isArray(map))
    throw new CheckpointError(`${index} has no weight_map`, { expected: 'tensor names and the files that hold them' });
  const entries = Object.entries(map);
  for (const [name, shard] of entries)
    if (typeof shard !== 'string' || !/^[^/\\]+\.safetensors$/.test(shard))
      throw new CheckpointError(`${index}: weight_map.${name} is no shard`, {
        expected: 'the name of a .safetensors file in the same folder',
        got: JSON.stringify(shard),
      });
  return new Map(entries as [string, string][]);
}
