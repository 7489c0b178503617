import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { smallConfig, smallText, temporaryFolder, vwn } from './support/vwn';

const cwd = temporaryFolder();
const run = (...args: string[]) => vwn(args, { cwd });

beforeAll(async () => {
  writeFileSync(join(cwd, 'text.txt'), smallText);
  writeFileSync(join(cwd, 'config.yaml'), smallConfig);
  const mtp = ['--set', 'model.num_nextn_predict_layers=1', 'train.max_steps=4', '--set', 'train.max_steps=5'];
  const { status, stderr } = await run('train', 'config.yaml', '--out', 'run', ...mtp);
  if (status !== 0) throw new Error(stderr);
}, 60_000);

describe('vwn', () => {
  it('lists its commands, and each has help', async () => {
    const { stdout } = await run('--help');
    for (const command of ['train', 'score', 'generate', 'eval', 'cost', 'doctor', 'quickstart', 'backend']) {
      expect(stdout).toContain(command);
      expect((await run(command, '--help')).stdout).toContain(`Usage: vwn ${command}`);
    }
  });

  it.each([
    ['a seed', ['generate', 'run', '--prompt', 'The', '--seed', ''], 'a whole number of at least 0'],
    [
      'a number of examples',
      ['eval', 'run', '--tasks', 'arc_easy', '--data', '.', '--num-fewshot', ' '],
      'a whole number of at least 0',
    ],
    ['a run folder', ['train', 'config.yaml', '--out', ''], 'the name of a folder'],
    ['a folder of two runs', ['quickstart', '--steps', '1', '--out', ''], 'the name of a folder'],
    ['a batch', ['cost', 'config.yaml', '--batch-size', '1e308'], 'at most 9007199254740991'],
  ])('refuses nothing, or too much, for %s', async (_what, args, expected) => {
    const { status, stderr } = await run(...args);
    expect(status).toBe(2);
    expect(stderr).toContain(`is invalid. expected ${expected}`);
  });

  it('ends with 2 for wrong usage and 1 for a failure, without a stack', async () => {
    expect((await run('train')).status).toBe(2);
    expect((await run('nonsense')).status).toBe(2);
    const missing = await run('score', 'nowhere', '--text', 'text.txt');
    expect(missing.status).toBe(1);
    expect(missing.stderr).toBe('vwn: there is no checkpoint at nowhere. Check the path\n');
  });
});

describe('vwn doctor', () => {
  it('says why a native library cannot run here, in one line, and takes the next backend', async () => {
    const addon = join(cwd, 'of-another-machine.cjs');
    writeFileSync(addon, `throw Object.assign(new Error('it is for other processors'), { code: 'VWN_NATIVE' })`);
    const { status, stdout, stderr } = await vwn(['doctor'], { cwd, env: { VWN_CPU_ADDON: addon, VWN_BACKEND: '' } });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(/--\s+vwn-cpu\s+.*of-another-machine\.cjs: it is for other processors/);
    expect(stdout).toContain('Commands use: wasm');
  });

  it('says which variable is wrong, where one names a native library that is not there, and takes no other', async () => {
    const env = { VWN_CPU_ADDON: join(cwd, 'no-such-addon.node'), VWN_BACKEND: '' };
    const { status, stdout } = await vwn(['doctor'], { cwd, env });
    expect(status).toBe(0);
    expect(stdout).toMatch(
      /--\s+vwn-cpu\s+VWN_CPU_ADDON names no native library .*no-such-addon\.node: there is no such/,
    );
    expect(stdout).toContain('Commands do not run: VWN_CPU_ADDON names no native library of vwn-cpu');
    expect(stdout).toContain('vwn-cpu: correct the environment variable');
    expect(stdout).not.toContain('npm install @vwn/kernels-cpu;');
  });

  it('says why commands do not run, where a backend is named that there is not', async () => {
    const { status, stdout } = await vwn(['doctor'], { cwd, env: { VWN_BACKEND: 'gpu' } });
    expect(status).toBe(0);
    expect(stdout).toContain('Commands do not run: there is no backend called gpu: expected one of vwn-cuda,');
  });
});

describe('vwn train', () => {
  it('takes several settings after one --set, before or after the configuration', async () => {
    const tiny = ['train.max_steps=1', 'train.batch_size=1'];
    expect((await run('train', '--set', ...tiny, 'config.yaml', '--out', 'before')).status).toBe(0);
    expect((await run('train', 'config.yaml', '--out', 'after', '--set', ...tiny)).status).toBe(0);
    expect(existsSync(join(cwd, 'before', 'checkpoint-1'))).toBe(true);
    expect(existsSync(join(cwd, 'after', 'checkpoint-1'))).toBe(true);
  });

  /** Into a folder that is not to come into being. */
  const runWith = (...settings: string[]) => run('train', 'config.yaml', '--out', 'bad', '--set', ...settings);

  it('refuses a key of the model that is not known, in a setting, as in other sections', async () => {
    const { status, stderr } = await runWith('model.virtual_widht={m: 2, n: 8}');
    expect(status).toBe(1);
    expect(stderr).toContain('virtual_widht: nothing of that name is known here; did you mean virtual_width?');
    expect(existsSync(join(cwd, 'bad'))).toBe(false);
  });

  it('reports every wrong setting of a configuration, with its file and field', async () => {
    const { status, stderr } = await runWith('train.max_steps=0', 'data.holdout=2');
    expect(status).toBe(1);
    expect(stderr).toContain('config.yaml has 2 problems');
    expect(stderr).toContain('data.holdout: expected at most 1, got 2');
  });
});

describe('vwn score', () => {
  it('refuses what is not UTF-8, as training does', async () => {
    writeFileSync(join(cwd, 'latin.txt'), Buffer.from([0x46, 0xfc, 0x72]));
    const { status, stderr } = await run('score', 'run', '--text', 'latin.txt');
    expect(status).toBe(1);
    expect(stderr).toContain('latin.txt is not UTF-8 text: expected a text. Convert it');
  });

  it('gives loss, perplexity, bits per byte, log-probabilities and multi-token losses of a text as JSON', async () => {
    const score = JSON.parse((await run('score', 'run', '--text', 'text.txt', '--json')).stdout);
    const mean = -score.logprobs.flat().reduce((a: number, b: number) => a + b, 0) / score.logprobs.flat().length;
    expect(score.loss).toBeCloseTo(mean, 5);
    expect(score.perplexity).toBeCloseTo(Math.exp(score.loss), 5);
    const bits = (score.loss * score.logprobs.flat().length) / Math.LN2 / Buffer.byteLength(smallText);
    expect(score.bits_per_byte).toBeCloseTo(bits, 5);
    expect(score.mtp_losses).toHaveLength(1);
  });

  it('scores rows of ids, log-probability of token t+1 at t', async () => {
    writeFileSync(join(cwd, 'ids.json'), '[[1, 2, 3], [4, 5]]');
    const score = JSON.parse((await run('score', 'run', '--ids', 'ids.json', '--json')).stdout);
    expect(score.logprobs.map((row: number[]) => row.length)).toEqual([2, 1]);
    expect(score.bits_per_byte).toBeUndefined();
  });

  it('names the id that is not in the vocabulary', async () => {
    writeFileSync(join(cwd, 'bad.json'), '[[1, 300]]');
    const { status, stderr } = await run('score', 'run', '--ids', 'bad.json');
    expect(status).toBe(1);
    expect(stderr).toContain('300');
  });
});

describe('vwn generate', () => {
  it('fails where the weights give no finite logits', async () => {
    cpSync(join(cwd, 'run', 'checkpoint-5'), join(cwd, 'damaged'), { recursive: true });
    const file = join(cwd, 'damaged', 'model.safetensors');
    const bytes = readFileSync(file);
    writeFileSync(file, bytes.fill(0xff, 8 + Number(bytes.readBigUInt64LE(0)))); // NaN in every place
    const { status, stdout, stderr } = await run('generate', 'damaged', '--prompt', 'The');
    expect({ status, stdout }).toEqual({ status: 1, stdout: 'The' });
    expect(stderr).toContain('the model gives logits that make no probabilities: got NaN. The weights are damaged');
  });

  it('streams a continuation that the seed decides', async () => {
    const args = ['generate', 'run', '--prompt', 'The cat', '--max-tokens', '8', '--top-k', '20', '--top-p', '0.9'];
    const [first, again, other] = [
      await run(...args, '--seed', '1'),
      await run(...args, '--seed', '1'),
      await run(...args, '--seed', '2'),
    ];
    expect(first.stdout.startsWith('The cat')).toBe(true);
    expect(again.stdout).toBe(first.stdout);
    expect(other.stdout).not.toBe(first.stdout);
  });
});

describe('vwn eval', () => {
  it('writes results in the schema of lm-evaluation-harness', async () => {
    const question = {
      id: 'q',
      question: {
        stem: 'What shines?',
        choices: [
          { label: 'A', text: 'stars' },
          { label: 'B', text: 'mud' },
        ],
      },
      answerKey: 'A',
    };
    writeFileSync(
      join(cwd, 'ARC-Easy-Test.jsonl'),
      `${JSON.stringify(question)}\n${JSON.stringify({ ...question, id: 'r' })}\n`,
    );
    const { status } = await run(
      'eval',
      'run',
      '--tasks',
      'arc_easy',
      '--data',
      '.',
      '--limit',
      '1',
      '--output',
      'out/results.json',
    );
    expect(status).toBe(0);
    const results = JSON.parse(readFileSync(join(cwd, 'out/results.json'), 'utf8'));
    expect(results.results.arc_easy['acc,none']).toBeTypeOf('number');
    expect(results['n-samples'].arc_easy).toEqual({ original: 2, effective: 1 });
  });

  it('says that its results cannot be written before it looks for the data', async () => {
    const { status, stderr } = await run('eval', 'run', '--tasks', 'hellaswag', '--data', 'empty', '--output', 'run');
    expect(status).toBe(1);
    expect(stderr).toContain('cannot write run: got a folder');
  });

  it('says which files it looked for when the data is not there', async () => {
    const { status, stderr } = await run('eval', 'run', '--tasks', 'hellaswag', '--data', 'empty');
    expect(status).toBe(1);
    expect(stderr).toContain('hellaswag_val.jsonl');
  });
});

describe('vwn cost and doctor', () => {
  it('cost compares with the plain and the widened model, from YAML and from a checkpoint', async () => {
    const fromYaml = JSON.parse((await run('cost', 'config.yaml', '--json')).stdout);
    expect(fromYaml.r).toBe(2);
    expect(fromYaml.model.flops.backbone).toBe(fromYaml.plain.flops.backbone);
    expect((await run('cost', join('run', 'checkpoint-5'))).stdout).toContain('2x as wide');
  });

  it('cost takes a run’s newest checkpoint, and says where a folder has none', async () => {
    const ofCheckpoint = await run('cost', join('run', 'checkpoint-5'));
    expect(await run('cost', 'run')).toEqual(ofCheckpoint);
    mkdirSync(join(cwd, 'no-run'));
    const { status, stderr } = await run('cost', 'no-run');
    expect(status).toBe(1);
    expect(stderr).toContain('no-run is not a checkpoint and holds none: expected config.json, or checkpoint-<step>');
  });

  it('doctor says for every backend whether it can run, and why not', async () => {
    const { backends } = JSON.parse((await run('doctor', '--json')).stdout);
    for (const { available, reason, remedy } of backends) expect(available || (reason && remedy)).toBeTruthy();
  });
});

describe('vwn quickstart', () => {
  it('says so where its folder is a file', async () => {
    const { status, stderr } = await run('quickstart', '--steps', '1', '--out', 'config.yaml');
    expect(status).toBe(1);
    expect(stderr).toContain('cannot look into config.yaml/plain: got a file where a folder should be');
  });

  it('trains both models, compares them and writes a report that needs nothing from elsewhere', async () => {
    const { status, stdout } = await run('quickstart', '--steps', '3', '--out', 'quick', '--json');
    expect(status).toBe(0);
    const { rows, report } = JSON.parse(stdout);
    expect(rows).toHaveLength(2);
    expect(existsSync(report)).toBe(true);
    const html = readFileSync(report, 'utf8');
    expect(html.match(/<polyline/g)?.length).toBeGreaterThanOrEqual(4);
    expect(html).not.toMatch(/(src|href)="https?:/);
  }, 120_000);

  it('replaces its own runs, and nothing else unless told to', async () => {
    const again = ['quickstart', '--steps', '1', '--out', 'again'];
    expect((await run(...again)).status).toBe(0);
    expect((await run(...again)).status).toBe(0);
    const lock = join(cwd, 'again', 'vwn-4x', `lock.tmp-${process.pid}-abcdef`);
    writeFileSync(lock, '');
    const busy = await run(...again, '--force');
    expect(busy.status).toBe(1);
    expect(busy.stderr).toContain(`another process (pid ${process.pid}) is training in`);
    rmSync(lock);
    const backup = join(cwd, 'again', 'vwn-4x', 'notes.tmp-backup');
    writeFileSync(backup, 'mine');
    expect((await run(...again)).stderr).toContain('an earlier quickstart: got notes.tmp-backup');
    rmSync(backup);
    const notes = join(cwd, 'again', 'vwn-4x', 'notes.txt');
    writeFileSync(notes, 'mine');
    const refused = await run(...again);
    expect(refused.status).toBe(1);
    expect(refused.stderr).toContain('vwn-4x holds something else than an earlier quickstart: got notes.txt');
    expect(existsSync(join(cwd, 'again', 'plain', 'checkpoint-1'))).toBe(true);
    expect((await run(...again, '--force')).status).toBe(0);
    expect(existsSync(notes)).toBe(false);
  }, 120_000);

  it('does not take a run of `vwn train` for its own', async () => {
    cpSync(join(cwd, 'run'), join(cwd, 'mine', 'plain'), { recursive: true });
    const { status, stderr } = await run('quickstart', '--steps', '1', '--out', 'mine');
    expect({ status, stderr }).toMatchObject({ status: 1, stderr: expect.stringContaining('(--force)') });
    expect(existsSync(join(cwd, 'mine', 'plain', 'checkpoint-5'))).toBe(true);
  });
});
