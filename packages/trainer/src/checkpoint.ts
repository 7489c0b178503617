import { CheckpointError } from '@vwn/core';
import type { LanguageModel } from '@vwn/layers';
import {
  readCheckpointJson,
  readSafetensors,
  saveCheckpoint,
  writeJson,
  writeSafetensors,
} from '@vwn/layers/checkpoint';
import type { Tokenizer } from '@vwn/text';
import { join } from 'node:path';
import type { AdamWOptimizer } from './optimizer/adamw';
import type { TrainConfig } from './train-config';

const optimizerFile = 'optimizer.safetensors';
const stateFile = 'trainer_state.json';

/** trainer_state.json: what is needed to go on besides weights and moments. */
export interface TrainerState {
  /** Updates done, as in Hugging Face's trainer state. */
  readonly global_step: number;
  readonly max_steps: number;
  /** Training tokens seen. */
  readonly num_input_tokens_seen: number;
  /** The settings that a resumed run must share. */
  readonly fingerprint: Record<string, unknown>;
}

/** Settings that decide which batches and parameters a run has; they cannot change when it is resumed. */
export function fingerprint({ model, data, train }: TrainConfig): Record<string, unknown> {
  const { batch_size, sequence_length, gradient_accumulation_steps, seed } = train;
  return JSON.parse(
    JSON.stringify({ model, data, train: { batch_size, sequence_length, gradient_accumulation_steps, seed } }),
  );
}

/** Saves weights, moments, state and tokenizer as one folder that appears complete or not at all. @throws StorageError */
export async function saveTrainingCheckpoint(
  dir: string,
  model: LanguageModel,
  optimizer: AdamWOptimizer,
  state: TrainerState,
  tokenizer?: Tokenizer,
): Promise<void> {
  const moments = await optimizer.state();
  await saveCheckpoint(dir, model, {
    extra: async (folder) => {
      await writeSafetensors(join(folder, optimizerFile), moments);
      await writeJson(join(folder, stateFile), state);
      await tokenizer?.save(folder);
    },
  });
}

/** @throws CheckpointError naming the file */
export async function readTrainerState(dir: string): Promise<TrainerState> {
  const file = join(dir, stateFile);
  const state = (await readCheckpointJson(file)) as Partial<TrainerState> | null;
  if (Number.isInteger(state?.global_step) && typeof state?.fingerprint === 'object') return state as TrainerState;
  throw new CheckpointError(`${file} is not a trainer state`, {
    expected: 'global_step and fingerprint',
    hint: 'Start from the weights alone with --init',
  });
}

/** Puts a checkpoint's moments into the optimizer. @throws CheckpointError */
export async function restoreOptimizer(dir: string, model: LanguageModel, optimizer: AdamWOptimizer): Promise<void> {
  const file = join(dir, optimizerFile);
  optimizer.restore(await readSafetensors(file), model.trainableVariables(), file);
}

/** The first setting in which two fingerprints differ, as `path: was …, is …`. */
export function firstDifference(was: unknown, is: unknown, path = ''): string | undefined {
  if (Object.is(was, is)) return undefined;
  const bothObjects = [was, is].every((each) => each !== null && typeof each === 'object');
  if (!bothObjects) return `${path}: was ${JSON.stringify(was)}, is ${JSON.stringify(is)}`;
  const [a, b] = [was as Record<string, unknown>, is as Record<string, unknown>];
  for (const key of new Set([...Object.keys(a), ...Object.keys(b)])) {
    const difference = firstDifference(a[key], b[key], path ? `${path}.${key}` : key);
    if (difference) return difference;
  }
  return undefined;
}
