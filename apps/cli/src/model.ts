import type { LanguageModel } from '@vwn/layers';
import { loadCheckpoint, resolveCheckpointDir } from '@vwn/layers/checkpoint';
import { Tokenizer } from '@vwn/text';

export interface OpenedModel {
  readonly model: LanguageModel;
  readonly dir: string;
}

/** Loads a checkpoint folder (or a run folder's newest checkpoint) and, when asked for, its tokenizer. */
export async function openModel(path: string): Promise<OpenedModel>;
export async function openModel(
  path: string,
  wanted: { tokenizer: 'required' },
): Promise<OpenedModel & { readonly tokenizer: Tokenizer }>;
export async function openModel(path: string, wanted?: { tokenizer: 'required' }) {
  const dir = await resolveCheckpointDir(path);
  const tokenizer = wanted ? await Tokenizer.load(dir) : undefined;
  const model = await loadCheckpoint(dir);
  return { dir, model, ...(tokenizer ? { tokenizer } : {}) };
}
