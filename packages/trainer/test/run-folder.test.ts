import { ConfigError, DataError, StorageError } from '@vwn/core';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { describeOnBackends } from '../../core/test/support/backends';
import { train, type TrainEvent } from '../src/index';
import { config, losses, newRun, noProcess, text } from './support/small-run';

/** The messages of a run. */
async function messages(start: (onEvent: (event: TrainEvent) => void) => Promise<unknown>): Promise<string> {
  const all: string[] = [];
  await start((event) => event.type === 'preparing' && all.push(event.message));
  return all.join('\n');
}

const filesOfARun = ['checkpoint-1', 'config.yaml', 'metrics.jsonl'];
const short = () => config('train.max_steps=1');

function folderWith(...names: string[]): string {
  const dir = newRun();
  mkdirSync(dir);
  for (const name of names) writeFileSync(join(dir, name), '');
  return dir;
}

describeOnBackends('the run folder', () => {
  it.each([false, true])('keeps the files of the user, whatever their names (resume: %s)', async (resume) => {
    const names = ['data.tmp-2024.txt', 'notes.tmp-backup', `notes.tmp-${noProcess}-abcdef`, 'checkpoint-1.tmp-old'];
    const outDir = folderWith(...names);
    await train(short(), { outDir, resume });
    expect(readdirSync(outDir).sort()).toEqual([...filesOfARun, ...names].sort());
  });

  it('is rid of what a crash left half-written, and keeps what a living process is writing', async () => {
    const outDir = folderWith(`config.yaml.tmp-${noProcess}-abcdef`, `lock.tmp-${noProcess}-abcdef`);
    const [left, written] = [`checkpoint-9.tmp-${noProcess}-abcdef`, `checkpoint-9.tmp-${process.ppid}-abcdef`];
    for (const name of [left, written]) mkdirSync(join(outDir, name));
    await train(short(), { outDir });
    expect(readdirSync(outDir).sort()).toEqual([...filesOfARun, written].sort());
  });

  it('is refused while another process trains there, which is named, and stays as it was', async () => {
    const outDir = folderWith(`lock.tmp-${process.ppid}-abcdef`);
    for (const resume of [false, true]) {
      const attempt = train(short(), { outDir, resume });
      await expect(attempt).rejects.toThrow(ConfigError);
      await expect(attempt).rejects.toThrow(`another process (pid ${process.ppid}) is training in ${outDir}. Wait`);
    }
    expect(readdirSync(outDir)).toEqual([`lock.tmp-${process.ppid}-abcdef`]);
  });

  it('is refused while this process trains there, and free again afterwards', async () => {
    const outDir = newRun();
    const first = train(short(), { outDir });
    await expect(train(short(), { outDir })).rejects.toThrow(`this process (pid ${process.pid}) is training in`);
    await first;
    expect(readdirSync(outDir).sort()).toEqual(filesOfARun);
    await train(config('train.max_steps=2'), { outDir, resume: true });
  });

  it('is taken over from a killed process that had the number of this one', async () => {
    const outDir = folderWith(`lock.tmp-${process.pid}-abcdef`);
    await train(short(), { outDir });
    expect(readdirSync(outDir).sort()).toEqual(filesOfARun);
  });

  it.runIf(existsSync('/proc/self'))('that cannot be written into is refused with the reason', async () => {
    const attempt = train(short(), { outDir: '/proc/self' });
    await expect(attempt).rejects.toThrow(StorageError);
    await expect(attempt).rejects.toThrow('cannot write into the run folder /proc/self: got ');
  });

  it('of a start that failed before its first step can be used again', async () => {
    const outDir = newRun();
    await expect(train(config('train.sequence_length=2000'), { outDir })).rejects.toThrow(DataError);
    expect(readdirSync(outDir)).toEqual([]);
    await expect(train(config('train.weight_decay=1e300', 'train.max_steps=1'), { outDir })).rejects.toThrow('broke');
    expect(readFileSync(join(outDir, 'metrics.jsonl'), 'utf8')).toBe('');
    await train(short(), { outDir });
    expect(await losses(outDir)).toHaveLength(1);
  });
});

describeOnBackends('what a run says of its start and end', () => {
  it('names no checkpoint when it was stopped before its first step, and leaves the folder free', async () => {
    const outDir = newRun();
    const stop = new AbortController();
    const onEvent = (event: TrainEvent) => event.type === 'preparing' && stop.abort();
    const result = await train(short(), { outDir, signal: stop.signal, onEvent });
    expect(result).toEqual({ step: 0, loss: Number.NaN, interrupted: true });
    expect(readdirSync(outDir)).toEqual([]);
  });

  it('names the checkpoint it was to go on from when it was stopped before a further step', async () => {
    const outDir = newRun();
    const { checkpointDir } = await train(short(), { outDir });
    const signal = AbortSignal.abort();
    const result = await train(config(), { outDir, resume: true, signal });
    expect(result).toMatchObject({ step: 1, interrupted: true, checkpointDir });
  });

  it('says that there is no checkpoint to go on from, and that all steps are made', async () => {
    const outDir = newRun();
    const again = () => messages((onEvent) => train(short(), { outDir, resume: true, onEvent }));
    expect(await again()).toContain(`${outDir} has no checkpoint to go on from: starting from the beginning`);
    const before = readFileSync(join(outDir, 'metrics.jsonl'), 'utf8');
    expect(await again()).toContain('step 1 of train.max_steps = 1 is reached: nothing to do (to go on, raise it)');
    expect(readFileSync(join(outDir, 'metrics.jsonl'), 'utf8')).toBe(before);
    expect(await messages((onEvent) => train(short(), { outDir: newRun(), onEvent }))).not.toContain('go on');
  });

  it('says to hold out more where the held-out text is too short, and less where the training text is', async () => {
    const start = (holdout: number) => train(config(`data.holdout=${holdout}`), { outDir: newRun() });
    await expect(start(0.001)).rejects.toThrow(/held-out text is shorter than one window: .*\. Hold out more/);
    await expect(start(0.999)).rejects.toThrow(/the text is shorter than one training window: .*hold out less/);
  });
});

describeOnBackends('a run from the weights of another', () => {
  const tokenizerOf = (dir: string) => readFileSync(join(dir, 'tokenizer.json'), 'utf8');
  const otherText = join(newRun(), '..', 'other.txt');
  writeFileSync(otherText, readFileSync(text, 'utf8').replaceAll('counted', 'has seen'));

  it('has the tokenizer of the weights, unless the configuration names the file of another', async () => {
    const { checkpointDir: init } = await train(short(), { outDir: newRun() });
    const other = config('train.max_steps=1', `data.corpus=[${otherText}]`);
    const own = await train(other, { outDir: newRun() });
    expect(tokenizerOf(own.checkpointDir)).not.toBe(tokenizerOf(init));

    const outDir = newRun();
    expect(await messages((onEvent) => train(other, { outDir, init, onEvent }))).toContain(`the tokenizer of ${init}`);
    expect(tokenizerOf(join(outDir, 'checkpoint-1'))).toBe(tokenizerOf(init));

    const named = config('train.max_steps=1', `data.tokenizer=${own.checkpointDir}`);
    const { checkpointDir } = await train(named, { outDir: newRun(), init });
    expect(tokenizerOf(checkpointDir)).toBe(tokenizerOf(own.checkpointDir));
  });

  it('needs no tokenizer where weights and data are of tokens, and one where the data is text', async () => {
    const bin = join(newRun(), '..', 'tokens.bin');
    writeFileSync(
      bin,
      Uint16Array.from({ length: 2000 }, (_, i) => (7 * i) % 300),
    );
    const ofTokens = config('train.max_steps=1', `data.corpus=[${bin}]`);
    const { checkpointDir: init } = await train(ofTokens, { outDir: newRun() });
    expect(existsSync(join(init, 'tokenizer.json'))).toBe(false);
    await train(ofTokens, { outDir: newRun(), init });
    await expect(train(short(), { outDir: newRun(), init })).rejects.toThrow(
      `${init} has no tokenizer.json: expected the tokenizer that its weights were trained with. Name it in`,
    );
  });
});
