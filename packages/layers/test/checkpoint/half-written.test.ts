import { CheckpointError, StorageError, parseModelConfig } from '@vwn/core';
import fc from 'fast-check';
import { chmodSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  completeCheckpoints,
  loadCheckpoint,
  resolveCheckpointDir,
  saveCheckpoint,
  writeFileAtomically,
} from '../../src/checkpoint/index';
import { LanguageModel } from '../../src/index';
import { useTestBackend } from '../../../core/test/support/backends';
import { withoutPermission } from '../../../core/test/support/without-permission';
import { temporaryFolder } from '../support/temporary-folder';

const folder = temporaryFolder();
let model: LanguageModel;

beforeAll(async () => {
  await useTestBackend('cpu');
  const config = {
    vocab_size: 11,
    hidden_size: 8,
    intermediate_size: 8,
    num_hidden_layers: 1,
    num_attention_heads: 2,
  };
  model = new LanguageModel(parseModelConfig(config), { seed: 1 });
});

let count = 0;
function newRun(): string {
  const dir = join(folder, `run-${count++}`);
  mkdirSync(dir);
  return dir;
}

describe('half-written checkpoints', () => {
  it('a run’s folder means its checkpoint of the highest step, counted as numbers', async () => {
    const run = newRun();
    for (const step of [9, 10, 1]) await saveCheckpoint(join(run, `checkpoint-${step}`), model);
    expect(await resolveCheckpointDir(run)).toBe(join(run, 'checkpoint-10'));
    expect(await resolveCheckpointDir(join(run, 'checkpoint-9'))).toBe(join(run, 'checkpoint-9'));
    expect((await completeCheckpoints(run)).map(({ step }) => step)).toEqual([1, 9, 10]);
  });

  it('what is on disk at any time while a checkpoint is saved is never loaded', async () => {
    const run = newRun();
    await saveCheckpoint(join(run, 'checkpoint-1'), model);
    let killed = '';
    await saveCheckpoint(join(run, 'checkpoint-2'), model, {
      extra: async (temporary) => {
        expect(await resolveCheckpointDir(run)).toBe(join(run, 'checkpoint-1'));
        killed = `${temporary.slice(0, -1)}${temporary.endsWith('f') ? 0 : 'f'}`; // of another process
        cpSync(temporary, killed, { recursive: true });
      },
    });
    rmSync(join(run, 'checkpoint-2'), { recursive: true });
    expect(readdirSync(killed)).toContain('model.safetensors');
    expect(await resolveCheckpointDir(run)).toBe(join(run, 'checkpoint-1'));
    await expect(loadCheckpoint(killed)).rejects.toThrow(CheckpointError);
    await expect(loadCheckpoint(`${killed}/`)).rejects.toThrow(/not written completely.*Name the run’s folder/);
  });

  it('a copy that was interrupted is passed over for the last complete one', async () => {
    const run = newRun();
    for (const step of [1, 2, 3]) await saveCheckpoint(join(run, `checkpoint-${step}`), model);
    rmSync(join(run, 'checkpoint-3', 'config.json'));
    rmSync(join(run, 'checkpoint-2', 'model.safetensors'));
    expect(await resolveCheckpointDir(run)).toBe(join(run, 'checkpoint-1'));
    await saveCheckpoint(join(run, 'checkpoint-3'), model); // a resumed run comes to that step again
    expect(await resolveCheckpointDir(run)).toBe(join(run, 'checkpoint-3'));
  });

  it('a path that is nothing, a file, or a folder without checkpoints says what was expected', async () => {
    const run = newRun();
    await expect(resolveCheckpointDir(join(run, 'x'))).rejects.toThrow(/no checkpoint at .*x/);
    writeFileSync(join(run, 'file'), '');
    await expect(resolveCheckpointDir(join(run, 'file'))).rejects.toThrow(/is a file: expected a checkpoint folder/);
    await expect(resolveCheckpointDir(run)).rejects.toThrow(/config\.json, or checkpoint-<step> folders/);
    expect(await completeCheckpoints(join(run, 'x'))).toEqual([]);
  });

  it('a folder that may not be read is named, and no older checkpoint taken for its own', async () => {
    const run = newRun();
    for (const step of [1, 2]) await saveCheckpoint(join(run, `checkpoint-${step}`), model);
    const newest = join(run, 'checkpoint-2');
    for (const path of [folder, run]) chmodSync(path, 0o755);
    const refusals = [
      [newest, await withoutPermission(newest, () => resolveCheckpointDir(run))],
      [newest, await withoutPermission(newest, () => completeCheckpoints(run))],
      [newest, await withoutPermission(newest, () => loadCheckpoint(newest))],
      [run, await withoutPermission(run, () => resolveCheckpointDir(run))],
      [run, await withoutPermission(run, () => completeCheckpoints(run))],
    ] as const;
    for (const [path, error] of refusals) {
      expect(error).toBeInstanceOf(CheckpointError);
      expect(String(error)).toMatch(/cannot read .*: got EACCES.*Check the permissions of the folder/);
      expect(String(error)).toContain(path);
    }
  });

  it('a run’s folder that is a file has its name in the error', async () => {
    const file = join(newRun(), 'file');
    writeFileSync(file, '');
    await expect(completeCheckpoints(file)).rejects.toThrow(CheckpointError);
    await expect(completeCheckpoints(file)).rejects.toThrow(`cannot read ${file}: got ENOTDIR`);
    expect(await completeCheckpoints(join(file, 'run'))).toEqual([]);
  });

  it('a save that fails leaves nothing behind, and an older checkpoint as it was', async () => {
    const run = newRun();
    const dir = join(run, 'checkpoint-1');
    const fail = { extra: () => Promise.reject(new TypeError('defect')) };
    await expect(saveCheckpoint(dir, model, fail)).rejects.toThrow(new TypeError('defect'));
    expect(readdirSync(run)).toEqual([]);
    await saveCheckpoint(dir, model);
    const before = readFileSync(join(dir, 'model.safetensors'));
    await expect(saveCheckpoint(dir, model, fail)).rejects.toThrow('defect');
    expect(readdirSync(run)).toEqual(['checkpoint-1']);
    expect(readFileSync(join(dir, 'model.safetensors'))).toEqual(before);
  });

  it('saving again replaces the older checkpoint, with all its files', async () => {
    const dir = join(newRun(), 'checkpoint-1');
    await saveCheckpoint(dir, model, { extra: async (to) => writeFileSync(join(to, 'old.json'), '{}') });
    await saveCheckpoint(dir, model);
    expect(readdirSync(dir).sort()).toEqual(['config.json', 'model.safetensors']);
    expect(readdirSync(join(dir, '..'))).toEqual(['checkpoint-1']);
  });

  it('saving never replaces a file or a folder of other things', async () => {
    const run = newRun();
    writeFileSync(join(run, 'notes.txt'), 'mine');
    await expect(saveCheckpoint(run, model)).rejects.toThrow(StorageError);
    await expect(saveCheckpoint(run, model)).rejects.toThrow(/a folder of other files. Choose another folder/);
    await expect(saveCheckpoint(join(run, 'notes.txt'), model)).rejects.toThrow(/got a file/);
    expect(readFileSync(join(run, 'notes.txt'), 'utf8')).toBe('mine');
  });

  it('a place that cannot be written is a StorageError with its name', async () => {
    const run = newRun();
    writeFileSync(join(run, 'file'), '');
    const dir = join(run, 'file', 'checkpoint-1');
    await expect(saveCheckpoint(dir, model)).rejects.toThrow(StorageError);
    await expect(saveCheckpoint(dir, model)).rejects.toThrow(/file.checkpoint-1: got a file stands where a folder/);
    await expect(writeFileAtomically(join(run, 'none', 'a'), ['x'])).rejects.toThrow(/cannot write .*none.a/);
  });

  it('a file is replaced whole or not at all', async () => {
    const run = newRun();
    const file = join(run, 'a.txt');
    await fc.assert(
      fc.asyncProperty(fc.array(fc.oneof(fc.string(), fc.uint8Array())), async (parts) => {
        await writeFileAtomically(file, parts);
        expect(readFileSync(file)).toEqual(Buffer.concat(parts.map((part) => Buffer.from(part as string))));
      }),
      { numRuns: 25 },
    );
    expect(readdirSync(run)).toEqual(['a.txt']);
    expect(existsSync(file)).toBe(true);
  });
});
