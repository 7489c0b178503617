import { StorageError, toHuggingFaceConfig } from '@vwn/core';
import { existsSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { LanguageModel } from '../language-model';
import type { StoredTensor } from '../parameters';
import { writeFileAtomically, writeFolderAtomically } from './atomic-write';
import { configFile, indexFile, isCheckpointName, modelFile } from './checkpoint-files';
import { writeSafetensors } from './safetensors';

export interface SaveOptions {
  /** Split the weights into files of at most so many bytes, with an index; default: one file. */
  readonly maxShardBytes?: number;
  /** Writes further files into the folder before it gets its name: tokenizer, optimizer state. */
  readonly extra?: (folder: string) => Promise<void>;
}

/**
 * Saves a model as a checkpoint folder; without virtual width, one that Hugging Face loads. The folder appears
 * complete or not at all, and replaces an older checkpoint of its name.
 * @throws StorageError, also when a file or a folder of other things has that name
 */
export async function saveCheckpoint(dir: string, model: LanguageModel, options: SaveOptions = {}): Promise<void> {
  await refuseOtherThings(dir);
  const tensors = await downloadParameters(model);
  await writeFolderAtomically(dir, async (folder) => {
    await writeJson(join(folder, configFile), toHuggingFaceConfig(model.config));
    await writeWeights(folder, tensors, options.maxShardBytes ?? Number.POSITIVE_INFINITY);
    await options.extra?.(folder);
  });
}

/** Writes JSON as people read it, atomically. @throws StorageError */
export async function writeJson(file: string, value: unknown): Promise<void> {
  await writeFileAtomically(file, [`${JSON.stringify(value, null, 2)}\n`]);
}

/** Replacing is only meant for checkpoints: never someone's folder of other files. */
async function refuseOtherThings(dir: string): Promise<void> {
  if (!existsSync(dir)) return;
  const isFolder = (await stat(dir)).isDirectory();
  // A run that passed over a broken checkpoint-<step> comes to that step again.
  if (isFolder && isCheckpointName(dir)) return;
  if (isFolder && (existsSync(join(dir, configFile)) || (await readdir(dir)).length === 0)) return;
  throw new StorageError(`cannot save a checkpoint as ${dir}`, {
    expected: 'a new folder, an empty one, or an older checkpoint to replace',
    got: isFolder ? 'a folder of other files' : 'a file',
    hint: 'Choose another folder',
  });
}

async function downloadParameters(model: LanguageModel): Promise<[string, StoredTensor][]> {
  const tensors: [string, StoredTensor][] = [];
  for (const [name, variable] of model.parameters.entries())
    tensors.push([name, { shape: variable.shape, values: (await variable.data()) as Float32Array }]);
  return tensors;
}

async function writeWeights(folder: string, tensors: [string, StoredTensor][], maxShardBytes: number): Promise<void> {
  const shards = intoShards(tensors, maxShardBytes);
  const metadata = { format: 'pt' };
  if (shards.length === 1) return writeSafetensors(join(folder, modelFile), tensors, metadata);
  const weightMap: Record<string, string> = {};
  for (const [i, shard] of shards.entries()) {
    const number = (value: number) => String(value).padStart(5, '0');
    const file = `model-${number(i + 1)}-of-${number(shards.length)}.safetensors`;
    for (const [name] of shard) weightMap[name] = file;
    await writeSafetensors(join(folder, file), shard, metadata);
  }
  const totalSize = tensors.reduce((sum, [, { values }]) => sum + values.byteLength, 0);
  await writeJson(join(folder, indexFile), { metadata: { total_size: totalSize }, weight_map: weightMap });
}

function intoShards(tensors: [string, StoredTensor][], maxBytes: number): [string, StoredTensor][][] {
  const shards: [string, StoredTensor][][] = [[]];
  let size = 0;
  for (const tensor of tensors) {
    const bytes = tensor[1].values.byteLength;
    if (size > 0 && size + bytes > maxBytes) {
      shards.push([]);
      size = 0;
    }
    (shards.at(-1) as [string, StoredTensor][]).push(tensor);
    size += bytes;
  }
  return shards;
}
