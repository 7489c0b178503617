import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { smallConfig, smallText, startVwn, temporaryFolder, vwn } from './support/vwn';

const folder = temporaryFolder();
writeFileSync(join(folder, 'text.txt'), smallText);
writeFileSync(join(folder, 'config.yaml'), smallConfig);
const run = (out: string, ...more: string[]) => ['train', 'config.yaml', '--out', out, ...more];

/** What a step computed, without the times. */
function computed(out: string) {
  return readFileSync(join(folder, out, 'metrics.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => {
      const { step, tokens, loss, losses, lr, grad_norm, eval_loss } = JSON.parse(line);
      return { step, tokens, loss, losses, lr, grad_norm, eval_loss };
    });
}

function lines(out: string): number {
  try {
    return readFileSync(join(folder, out, 'metrics.jsonl'), 'utf8').split('\n').length - 1;
  } catch {
    return 0;
  }
}

describe('a training run that is killed', () => {
  it('gives bit-identical losses to the uninterrupted run when resumed, wherever SIGKILL hit', async () => {
    expect((await vwn(run('whole'), { cwd: folder })).status).toBe(0);
    for (const [i, killedAt] of [1, 6, 8, 20].entries()) {
      const out = `killed-${i}`;
      const child = startVwn(run(out), { cwd: folder });
      const closed = new Promise((resolve) => child.on('close', resolve));
      while (lines(out) < killedAt && child.exitCode === null) await sleep(1);
      child.kill('SIGKILL');
      await closed;
      const resumed = await vwn(run(out, '--resume'), { cwd: folder });
      expect(resumed.stderr + resumed.status).toMatch(/0$/);
      expect(computed(out)).toEqual(computed('whole'));
      expect(readdirSync(join(folder, out)).sort()).toEqual(readdirSync(join(folder, 'whole')).sort());
    }
  }, 180_000);

  it('saves and exits with 130 on Ctrl-C, and goes on from there', async () => {
    const child = startVwn(run('stopped'), { cwd: folder });
    const closed = new Promise((resolve) => child.on('close', resolve));
    while (lines('stopped') < 3 && child.exitCode === null) await sleep(1);
    child.kill('SIGINT');
    expect(await closed).toBe(130);
    expect(readdirSync(join(folder, 'stopped')).some((name) => name.startsWith('checkpoint-'))).toBe(true);
    expect((await vwn(run('stopped', '--resume'), { cwd: folder })).status).toBe(0);
    expect(computed('stopped')).toEqual(computed('whole'));
  }, 120_000);

  it('that had not begun names no checkpoint, and its folder can be used', async () => {
    // The bundled text takes long enough to prepare to be stopped at it.
    const child = startVwn(run('early', '--set', 'data.corpus=sotu'), { cwd: folder });
    let stderr = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      if (!stderr.includes('training a tokenizer') && `${stderr}${chunk}`.includes('training a tokenizer'))
        child.kill('SIGINT');
      stderr += String(chunk);
    });
    expect(await new Promise((resolve) => child.on('close', resolve))).toBe(130);
    expect(stderr).toContain('stopped before the first step; nothing was saved');
    expect(readdirSync(join(folder, 'early'))).toEqual([]);
    expect((await vwn(run('early'), { cwd: folder })).status).toBe(0);
  }, 120_000);

  it('is not resumed by a second process while it goes on, and ends as if there had been none', async () => {
    const child = startVwn(run('twice', '--set', 'train.max_steps=3000'), { cwd: folder });
    const closed = new Promise((resolve) => child.on('close', resolve));
    while (lines('twice') < 1 && child.exitCode === null) await sleep(1);
    const second = await vwn(run('twice', '--resume'), { cwd: folder });
    child.kill('SIGINT');
    expect(second.status).toBe(1);
    expect(second.stderr).toContain(`another process (pid ${child.pid}) is training in twice. Wait for its end`);
    expect(await closed).toBe(130);
    expect(computed('twice').map(({ step }) => step)).toEqual(Array.from({ length: lines('twice') }, (_, i) => i + 1));
    expect(readdirSync(join(folder, 'twice')).filter((name) => name.includes('.tmp-'))).toEqual([]);
  }, 120_000);

  it('is not resumed with another model, and says which setting differs', async () => {
    const { status, stderr } = await vwn(run('whole', '--resume', '--set', 'model.virtual_width.n=6'), { cwd: folder });
    expect(status).toBe(1);
    expect(stderr).toContain('model.virtual_width.n: was 4, is 6');
    expect(stderr).not.toContain('    at ');
  });
});
