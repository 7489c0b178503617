import { NumericsError, StorageError } from '@vwn/core';
import { loadCheckpoint } from '@vwn/layers/checkpoint';
import * as tf from '@tensorflow/tfjs-core';
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { describeOnBackends } from '../../core/test/support/backends';
import { readMetrics, train, type TrainEvent } from '../src/index';
import { config, folder, losses, newRun, noProcess, text } from './support/small-run';

describeOnBackends('training', () => {
  it('lowers the loss, writes a line a step, keeps the newest checkpoints, tells what it does, leaves no tensors', async () => {
    const outDir = newRun();
    const events: TrainEvent[] = [];
    const before = tf.memory().numTensors;
    const result = await train(config(), { outDir, onEvent: (event) => events.push(event) });
    expect(tf.memory().numTensors).toBe(before);
    const metrics = await readMetrics(join(outDir, 'metrics.jsonl'));
    expect(metrics.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    expect(metrics.at(-1)?.loss).toBeLessThan((metrics[0]?.loss as number) - 0.5);
    expect(Object.keys(metrics[0] ?? {})).toEqual([
      'step',
      'tokens',
      'loss',
      'losses',
      'lr',
      'grad_norm',
      'step_ms',
      'tokens_per_s',
    ]);
    expect(metrics[5]?.eval_loss).toBeTypeOf('number');
    expect(readdirSync(outDir).sort()).toEqual(['checkpoint-12', 'checkpoint-8', 'config.yaml', 'metrics.jsonl']);
    expect(result).toMatchObject({ step: 12, interrupted: false, checkpointDir: join(outDir, 'checkpoint-12') });
    expect(new Set(events.map(({ type }) => type))).toEqual(
      new Set(['preparing', 'prepared', 'step', 'evaluated', 'saved']),
    );
  });

  it('goes on from a checkpoint with the same losses, over torn lines and half-written folders', async () => {
    const [whole, resumed] = [newRun(), newRun()];
    await train(config(), { outDir: whole });
    const stop = new AbortController();
    await train(config(), {
      outDir: resumed,
      signal: stop.signal,
      onEvent: (event) => event.type === 'step' && event.metrics.step === 5 && stop.abort(),
    });
    appendFileSync(join(resumed, 'metrics.jsonl'), '{"step":6,"tokens":384,"lo');
    mkdirSync(join(resumed, `checkpoint-9.tmp-${noProcess}-abcdef`));
    await train(config(), { outDir: resumed, resume: true });
    expect(await losses(resumed)).toEqual(await losses(whole));
    expect(existsSync(join(resumed, `checkpoint-9.tmp-${noProcess}-abcdef`))).toBe(false);
  });

  it('accumulated gradients equal those of the large batch', async () => {
    const [large, accumulated] = [newRun(), newRun()];
    await train(config('train.max_steps=3'), { outDir: large });
    await train(config('train.max_steps=3', 'train.batch_size=2', 'train.gradient_accumulation_steps=2'), {
      outDir: accumulated,
    });
    const [a, b] = [await losses(large), await losses(accumulated)];
    a.forEach((loss, i) => expect(Math.abs(loss - (b[i] as number))).toBeLessThan(1e-4));
  });

  it.each([
    ['a plain model', ['model.virtual_width=null']],
    ['multi-token heads', ['model.num_nextn_predict_layers=2']],
    ['a mixture of experts', ['model.num_local_experts=4']],
    [
      'an expanded embedding and a fractional width',
      ['model.virtual_width={m: 2, n: 3, embedding: expand, reduce_norm: none}'],
    ],
  ])('trains %s', async (_title, overrides) => {
    const outDir = newRun();
    await train(config(...overrides, 'train.max_steps=6'), { outDir });
    const all = await losses(outDir);
    expect(all.at(-1)).toBeLessThan(all[0] as number);
  });

  it('starts from the weights of another run with init', async () => {
    const [first, second] = [newRun(), newRun()];
    const { checkpointDir } = await train(config(), { outDir: first });
    await train(
      config('train.max_steps=1', 'train.learning_rate=0', 'data.tokenizer=null'.replace('=null', `=${checkpointDir}`)),
      { outDir: second, init: checkpointDir },
    );
    const [from, to] = await Promise.all([loadCheckpoint(first), loadCheckpoint(second)]);
    for (const [name, variable] of from.trainableVariables())
      expect(to.parameters.get(name)?.dataSync()).toEqual(variable.dataSync());
    from.dispose();
    to.dispose();
  });
});

describeOnBackends('a run in trouble', () => {
  it('stops at a loss that is not finite, applies nothing, and names step, rate and the last good checkpoint', async () => {
    const outDir = newRun();
    await train(config('train.max_steps=4'), { outDir });
    const attempt = train(config('train.learning_rate=1e30', 'train.max_grad_norm=0', 'train.max_steps=12'), {
      outDir,
      resume: true,
    });
    await expect(attempt).rejects.toThrow(NumericsError);
    await expect(attempt).rejects.toThrow(
      /training broke down at step \d+: expected a finite loss and gradient.*Lower train\.learning_rate/s,
    );
    expect(existsSync(join(outDir, 'checkpoint-4', 'model.safetensors'))).toBe(true);
  });

  it('refuses to overwrite a run, and to resume it with another configuration', async () => {
    const outDir = newRun();
    await train(config('train.max_steps=4'), { outDir });
    await expect(train(config(), { outDir })).rejects.toThrow('already holds a run. Go on with it (--resume)');
    await expect(train(config(), { outDir: text })).rejects.toThrow(`cannot make the run folder ${text}`);
    await expect(readMetrics(folder)).rejects.toThrow(`cannot read ${folder}: expected the metrics of a run`);
    await expect(train(config('train.batch_size=8'), { outDir, resume: true })).rejects.toThrow(
      'train.batch_size: was 4, is 8',
    );
  });

  it('stops at a held-out loss that is not finite, and saves no weights that are no numbers', async () => {
    const outDir = newRun();
    const attempt = train(config('train.max_steps=1', 'train.weight_decay=1e300'), { outDir });
    await expect(attempt).rejects.toThrow(NumericsError);
    await expect(attempt).rejects.toThrow(/step 1: expected a finite held-out loss, got NaN .*train\.weight_decay/);
    expect(readdirSync(outDir).filter((name) => name.startsWith('checkpoint'))).toEqual([]);
  });

  it('does not load a truncated optimizer state, and says what to do', async () => {
    const outDir = newRun();
    const { checkpointDir } = await train(config('train.max_steps=4'), { outDir });
    truncateSync(join(checkpointDir, 'optimizer.safetensors'), 2000);
    await expect(train(config(), { outDir, resume: true })).rejects.toThrow(
      /optimizer\.safetensors.*The file is damaged/s,
    );
  });

  it('says that the run folder cannot be made, and why', async () => {
    const attempt = train(config(), { outDir: join(text, 'run') });
    await expect(attempt).rejects.toThrow(StorageError);
    await expect(attempt).rejects.toThrow('cannot make the run folder');
  });

  it.runIf(existsSync('/proc/self'))('ends at once where the file system makes no folders', async () => {
    await expect(train(config(), { outDir: '/proc/run' })).rejects.toThrow('cannot make the run folder /proc/run');
  });

  it('writes metrics that end in a whole line', async () => {
    const outDir = newRun();
    await train(config('train.max_steps=2'), { outDir });
    expect(readFileSync(join(outDir, 'metrics.jsonl'), 'utf8')).toMatch(/}\n$/);
  });
});
