import { CheckpointError, ConfigError } from '@vwn/core';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  loadCheckpoint,
  loadCheckpointConfig,
  readSafetensors,
  saveCheckpoint,
  writeSafetensors,
} from '../../src/checkpoint/index';
import type { LanguageModel, StoredTensor } from '../../src/index';
import { useTestBackend } from '../../../core/test/support/backends';
import { temporaryFolder } from '../support/temporary-folder';

const golden = new URL('../fixtures/golden/lm/', import.meta.url).pathname;
const folder = temporaryFolder();

beforeAll(() => useTestBackend('cpu'));

let count = 0;
const newFolder = () => join(folder, `checkpoint-of-test-${count++}`);

/** A copy of a golden checkpoint, with its tensors and config changed. */
async function changed(
  name: string,
  change: { tensors?: (tensors: Map<string, StoredTensor>) => void; config?: Record<string, unknown> },
): Promise<string> {
  const dir = newFolder();
  mkdirSync(dir);
  const tensors = await readSafetensors(`${golden}${name}/model.safetensors`);
  change.tensors?.(tensors);
  await writeSafetensors(join(dir, 'model.safetensors'), tensors);
  const config = JSON.parse(readFileSync(`${golden}${name}/config.json`, 'utf8'));
  writeFileSync(join(dir, 'config.json'), JSON.stringify({ ...config, ...change.config }));
  return dir;
}

async function sharded(name: string): Promise<string> {
  const model = await loadCheckpoint(`${golden}${name}`);
  const dir = newFolder();
  await saveCheckpoint(dir, model, { maxShardBytes: 4096 });
  model.dispose();
  return dir;
}

async function values(dir: string): Promise<Map<string, StoredTensor>> {
  const model = await loadCheckpoint(dir);
  const result = valuesOf(model);
  model.dispose();
  return result;
}

function valuesOf(model: LanguageModel): Map<string, StoredTensor> {
  return new Map(
    model.parameters
      .entries()
      .map(
        ([name, variable]) => [name, { shape: variable.shape, values: variable.dataSync() as Float32Array }] as const,
      )
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );
}

async function refusal(dir: string): Promise<Error> {
  const error = await loadCheckpoint(dir).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(CheckpointError);
  return error as Error;
}

describe('checkpoints', () => {
  it.each(readdirSync(golden))('%s: every tensor is loaded, and saved and loaded again, bit by bit', async (name) => {
    const stored = await readSafetensors(`${golden}${name}/model.safetensors`);
    const before = tf.memory().numTensors;
    const model = await loadCheckpoint(`${golden}${name}`);
    expect(valuesOf(model)).toEqual(new Map([...stored].sort(([a], [b]) => (a < b ? -1 : 1))));
    const dir = newFolder();
    await saveCheckpoint(dir, model);
    const again = await loadCheckpoint(dir);
    expect(again.config).toEqual(model.config);
    expect(valuesOf(again)).toEqual(valuesOf(model));
    model.dispose();
    again.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });

  it('shards hold at most the asked bytes, are listed in the index, and load as the whole', async () => {
    const dir = await sharded('mixtral');
    const shards = readdirSync(dir).filter((name) => /^model-\d{5}-of-\d{5}\.safetensors$/.test(name));
    expect(shards.length).toBeGreaterThan(2);
    expect(existsSync(join(dir, 'model.safetensors'))).toBe(false);
    const index = JSON.parse(readFileSync(join(dir, 'model.safetensors.index.json'), 'utf8'));
    let total = 0;
    for (const shard of shards) {
      const tensors = await readSafetensors(join(dir, shard));
      const bytes = [...tensors.values()].reduce((sum, each) => sum + each.values.byteLength, 0);
      if (tensors.size > 1) expect(bytes).toBeLessThanOrEqual(4096);
      for (const name of tensors.keys()) expect(index.weight_map[name]).toBe(shard);
      total += bytes;
    }
    expect(index.metadata.total_size).toBe(total);
    expect(await values(dir)).toEqual(await values(`${golden}mixtral`));
  });

  it('of one file and shards in a folder, the one file is read, as in transformers', async () => {
    const dir = await sharded('llama');
    const other = await changed('llama', { tensors: (all) => all.get('model.norm.weight')?.values.fill(3) });
    cpSync(join(other, 'model.safetensors'), join(dir, 'model.safetensors'));
    expect((await values(dir)).get('model.norm.weight')?.values[0]).toBe(3);
  });

  it('experts fused into one tensor, as transformers 5 holds them, load as single experts', async () => {
    const dir = await changed('mixtral', { tensors: fuseExperts });
    expect([...(await readSafetensors(join(dir, 'model.safetensors'))).keys()].join()).not.toMatch(/block_sparse_moe/);
    expect(await values(dir)).toEqual(await values(`${golden}mixtral`));
  });

  it('fused experts of the wrong rank are refused by name', async () => {
    const dir = await changed('mixtral', {
      tensors: (all) => all.set('model.layers.0.mlp.experts.down_proj', { shape: [2], values: new Float32Array(2) }),
    });
    expect((await refusal(dir)).message).toMatch(/model\.layers\.0\.mlp\.experts\.down_proj.*\[2\]/);
  });

  it('tied embeddings need no lm_head.weight, ignore one that is there, and are saved without', async () => {
    const tied = { tie_word_embeddings: true };
    const without = await changed('llama', { config: tied, tensors: (all) => all.delete('lm_head.weight') });
    const withOne = await changed('llama', { config: tied });
    expect(await values(withOne)).toEqual(await values(without));
    const model = await loadCheckpoint(withOne);
    const dir = newFolder();
    await saveCheckpoint(dir, model);
    model.dispose();
    expect((await readSafetensors(join(dir, 'model.safetensors'))).has('lm_head.weight')).toBe(false);
    expect(await values(dir)).toEqual(await values(without));
  });

  it('rotary buffers of old Llama checkpoints are ignored', async () => {
    const name = 'model.layers.0.self_attn.rotary_emb.inv_freq';
    const dir = await changed('llama', {
      tensors: (all) => all.set(name, { shape: [1], values: Float32Array.of(1) }),
    });
    expect(await values(dir)).toEqual(await values(`${golden}llama`));
  });
});

describe('checkpoints that are not whole', () => {
  it('missing and unexpected tensors are named, and nothing stays in memory', async () => {
    const dir = await changed('llama', {
      tensors: (all) => {
        all.delete('model.layers.0.mlp.up_proj.weight');
        all.set('model.layers.0.self_attn.q_proj.bias', { shape: [1], values: Float32Array.of(1) });
      },
    });
    const before = tf.memory().numTensors;
    const { message } = await refusal(dir);
    expect(message).toContain(dir);
    expect(message).toMatch(/also model\.layers\.0\.mlp\.up_proj\.weight/);
    expect(message).toMatch(/unknown model\.layers\.0\.self_attn\.q_proj\.bias/);
    expect(tf.memory().numTensors).toBe(before);
  });

  it('a tensor of another shape is named, with both shapes', async () => {
    const dir = await changed('llama', {
      tensors: (all) => all.set('model.norm.weight', { shape: [3], values: new Float32Array(3) }),
    });
    expect((await refusal(dir)).message).toMatch(/model\.norm\.weight.*expected \[\d+\], got \[3\]/);
  });

  it('config.json cut off anywhere is refused with its name', async () => {
    const text = readFileSync(`${golden}llama/config.json`, 'utf8').trimEnd();
    const dir = await changed('llama', {});
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: text.length - 1 }), async (length) => {
        writeFileSync(join(dir, 'config.json'), text.slice(0, length));
        expect((await refusal(dir)).message).toMatch(/config\.json is not valid JSON.*copy or download it again/);
      }),
      { numRuns: 30 },
    );
  });

  it('a config.json may begin with a byte order mark', async () => {
    const dir = await changed('llama', {});
    const file = join(dir, 'config.json');
    const plain = await loadCheckpointConfig(dir);
    writeFileSync(file, `\uFEFF${readFileSync(file, 'utf8')}`);
    expect(await loadCheckpointConfig(dir)).toEqual(plain);
  });

  it('a config.json with a wrong field is refused with file and field', async () => {
    const dir = await changed('llama', { config: { num_attention_heads: 'many' } });
    await expect(loadCheckpoint(dir)).rejects.toThrow(ConfigError);
    await expect(loadCheckpoint(dir)).rejects.toThrow(/config\.json.*num_attention_heads/s);
  });

  it('model.safetensors cut off anywhere is never loaded', async () => {
    const dir = await changed('llama', {});
    const file = join(dir, 'model.safetensors');
    const whole = readFileSync(file);
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: whole.length - 1 }), async (length) => {
        writeFileSync(file, whole.subarray(0, length));
        expect((await refusal(dir)).message).toContain(file);
      }),
      { numRuns: 40 },
    );
  });

  it('a folder without weights is refused; one with pytorch_model.bin says what to do', async () => {
    const dir = await changed('llama', {});
    rmSync(join(dir, 'model.safetensors'));
    expect((await refusal(dir)).message).toMatch(/no weights.*model\.safetensors.*complete/);
    writeFileSync(join(dir, 'pytorch_model.bin'), '');
    expect((await refusal(dir)).message).toMatch(/save_pretrained/);
  });

  it('a shard that is missing or cut off is refused with its name', async () => {
    const dir = await sharded('llama');
    const shard = join(dir, readdirSync(dir).find((name) => name.startsWith('model-00002')) as string);
    writeFileSync(shard, readFileSync(shard).subarray(0, statSync(shard).size - 1));
    expect((await refusal(dir)).message).toContain(`${shard}: truncated`);
    rmSync(shard);
    expect((await refusal(dir)).message).toContain(`cannot read ${shard}`);
  });

  it.each<[string, unknown, RegExp]>([
    ['without a weight_map', {}, /has no weight_map/],
    ['with a list for a weight_map', { weight_map: ['a'] }, /has no weight_map/],
    ['with a shard outside the folder', { weight_map: { a: '../x.safetensors' } }, /weight_map\.a is no shard/],
    ['with a number for a shard', { weight_map: { a: 3 } }, /weight_map\.a is no shard.*got 3/],
  ])('an index %s is refused', async (_, index, text) => {
    const dir = await sharded('llama');
    writeFileSync(join(dir, 'model.safetensors.index.json'), JSON.stringify(index));
    expect((await refusal(dir)).message).toMatch(text);
  });

  it('an index that looks for a tensor in the wrong shard is refused with the tensor’s name', async () => {
    const dir = await sharded('llama');
    const file = join(dir, 'model.safetensors.index.json');
    const index = JSON.parse(readFileSync(file, 'utf8'));
    index.weight_map['model.norm.weight'] = index.weight_map['model.embed_tokens.weight'];
    writeFileSync(file, JSON.stringify(index));
    expect((await refusal(dir)).message).toMatch(/names tensors that are not where it says.*model\.norm\.weight/);
  });
});

/** The names and shapes that transformers 5 gives Mixtral's experts in memory. */
function fuseExperts(all: Map<string, StoredTensor>): void {
  for (let layer = 0; all.has(`model.layers.${layer}.input_layernorm.weight`); layer++) {
    const prefix = `model.layers.${layer}`;
    const take = (name: string) => {
      const tensor = all.get(name) as StoredTensor;
      all.delete(name);
      return tensor;
    };
    const gateUp: StoredTensor[] = [];
    const down: StoredTensor[] = [];
    for (let e = 0; all.has(`${prefix}.block_sparse_moe.experts.${e}.w1.weight`); e++) {
      const expert = (matrix: string) => take(`${prefix}.block_sparse_moe.experts.${e}.${matrix}.weight`);
      gateUp.push(expert('w1'), expert('w3'));
      down.push(expert('w2'));
    }
    const [rows = 0, columns = 0] = gateUp[0]?.shape ?? [];
    all.set(`${prefix}.mlp.gate.weight`, take(`${prefix}.block_sparse_moe.gate.weight`));
    all.set(`${prefix}.mlp.experts.gate_up_proj`, stack(gateUp, [down.length, 2 * rows, columns]));
    all.set(`${prefix}.mlp.experts.down_proj`, stack(down, [down.length, columns, rows]));
  }
}

function stack(tensors: readonly StoredTensor[], shape: number[]): StoredTensor {
  return { shape, values: Float32Array.from(tensors.flatMap(({ values: each }) => [...each])) };
}
