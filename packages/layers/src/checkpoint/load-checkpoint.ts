import { CheckpointError, ShapeError, parseModelConfig, type ModelConfig } from '@vwn/core';
import { join } from 'node:path';
import { LanguageModel } from '../language-model';
import type { StoredTensor } from '../parameters';
import { configFile, readCheckpointJson, readModelTensors, resolveCheckpointDir } from './checkpoint-files';

/** Reads only the configuration of a checkpoint. @throws CheckpointError, ConfigError naming file and field */
export async function loadCheckpointConfig(path: string): Promise<ModelConfig> {
  const file = join(await resolveCheckpointDir(path), configFile);
  return parseModelConfig(await readCheckpointJson(file), file);
}

/**
 * Loads a model from a checkpoint folder: ours, or Hugging Face's Llama or Mixtral (one file or shards; F32, F16, BF16;
 * tied embeddings). A run's folder means its newest complete checkpoint.
 * @throws CheckpointError, ConfigError naming file, tensor or field, and the remedy
 */
export async function loadCheckpoint(path: string): Promise<LanguageModel> {
  const dir = await resolveCheckpointDir(path);
  return loadWeights(dir, await loadCheckpointConfig(dir));
}

/**
 * A model of a given configuration with the weights of a checkpoint, whose own config.json is not read: defaults and
 * loss weights may differ, but the tensors must be those of the configuration.
 * @throws CheckpointError naming the tensors that are missing or unexpected
 */
export async function loadWeights(path: string, config: ModelConfig): Promise<LanguageModel> {
  const dir = await resolveCheckpointDir(path);
  const values = await readModelTensors(dir);
  if (config.tie_word_embeddings) values.delete('lm_head.weight');
  return buildModel(config, values, dir);
}

function buildModel(config: ModelConfig, values: Map<string, StoredTensor>, dir: string): LanguageModel {
  let model: LanguageModel;
  try {
    model = new LanguageModel(config, { values });
  } catch (cause) {
    if (cause instanceof ShapeError) throw new CheckpointError(`${dir}: ${cause.message}`, { cause });
    throw cause;
  }
  const missing = model.parameters.entries().flatMap(([name]) => (values.has(name) ? [] : [name]));
  const unexpected = model.parameters.unused();
  if (missing.length === 0 && unexpected.length === 0) return model;
  model.dispose();
  throw new CheckpointError(`the tensors of ${dir} are not those of the configured model`, {
    expected: missing.length > 0 ? `also ${some(missing)}` : 'nothing more',
    got: unexpected.length > 0 ? `unknown ${some(unexpected)}` : `${values.size} tensors`,
    hint: 'Check model_type, num_hidden_layers, tie_word_embeddings and virtual_width',
  });
}

function some(names: readonly string[]): string {
  return names.length > 8 ? `${names.slice(0, 8).join(', ')} and ${names.length - 8} more` : names.join(', ');
}
