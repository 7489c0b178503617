import { BackendError, ConfigError } from '@vwn/core';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { loadLibrary as loadCuda } from '../../kernels-cuda/src/load-library';
import { loadAddon } from '../src/index';

const folder = mkdtempSync(join(tmpdir(), 'vwn-addons-'));
const given = process.env.VWN_CUDA_ADDON;
afterAll(() => rmSync(folder, { recursive: true }));
afterEach(() => {
  delete process.env.VWN_TEST_ADDON;
  if (given === undefined) delete process.env.VWN_CUDA_ADDON;
  else process.env.VWN_CUDA_ADDON = given;
});

const places = { name: 'vwn-test', from: import.meta.url, variable: 'VWN_TEST_ADDON' } as const;
const hint = 'Install it';

/** What loading throws, of an addon with this text that a variable names, or that is found without. */
function failureOf(text: string, { isNamed = true, file = 'addon.cjs' } = {}): unknown {
  const addon = join(folder, `${Math.random()}-${file}`);
  writeFileSync(addon, text);
  if (isNamed) process.env.VWN_TEST_ADDON = addon;
  const built = isNamed ? 'nowhere.node' : `file://${addon}`;
  try {
    return loadAddon({ ...places, built, platformPackage: '@vwn/none', hint });
  } catch (error) {
    return error;
  }
}

const throwing = (code: string, text: string) => `throw Object.assign(new Error('${text}'), { code: '${code}' })`;

describe('an addon that an environment variable names', () => {
  it.each([
    ['no JavaScript', "it's text", 'addon', 'it is no native library'],
    ['JavaScript that is no addon', 'module.exports = {}', 'addon.cjs', 'what it exports is no native library'],
    ['nothing', 'module.exports = null', 'addon.cjs', 'what it exports is no native library'],
    ['text called .node', 'text', 'addon.node', ''],
  ])('and that is %s is a ConfigError that names the variable', (_what, text, file, why) => {
    const error = failureOf(text, { file }) as ConfigError;
    expect(error).toBeInstanceOf(ConfigError);
    expect(error.message).toContain('VWN_TEST_ADDON names no native library of vwn-test');
    expect(error).toMatchObject({ expected: 'the absolute path of a build of it' });
    expect(error.got?.startsWith(`${process.env.VWN_TEST_ADDON}: ${why}`)).toBe(true);
    expect(error.hint).toContain('Correct VWN_TEST_ADDON, or leave it out');
  });

  it('and that is not there is a ConfigError of vwn-cuda, too', () => {
    process.env.VWN_CUDA_ADDON = '/nowhere/vwn_cuda.node';
    expect(loadCuda).toThrow(ConfigError);
    expect(loadCuda).toThrow(/VWN_CUDA_ADDON names no .* got \/nowhere\/vwn_cuda\.node: there is no such file/);
  });

  it('and that says itself why it does not run here is a BackendError: the variable is right', () => {
    const error = failureOf(throwing('VWN_NATIVE', 'there is no GPU')) as BackendError;
    expect(error).toBeInstanceOf(BackendError);
    expect(error.got).toMatch(/addon\.cjs: there is no GPU$/);
    expect(error.hint).toBe(hint);
  });
});

describe('an addon that is found', () => {
  it('says what to install where it cannot be opened', () => {
    const error = failureOf('text', { isNamed: false, file: 'addon.node' }) as BackendError;
    expect(error).toMatchObject({ name: 'BackendError', hint });
    expect(error.message).toContain('the native library of vwn-test cannot be loaded');
  });

  it('says to use one thread, and nothing of installing, where another one uses it', () => {
    const text = 'another thread of this process uses vwn-test already';
    const error = failureOf(throwing('VWN_IN_USE', text), { isNamed: false }) as BackendError;
    expect(error).toMatchObject({ name: 'BackendError', got: 'another thread of this process uses vwn-test already' });
    expect(error.message).not.toContain(hint);
    expect(error.hint).toContain('Run it in one of them');
  });

  it('gives a setting that it refuses as a ConfigError, part by part', () => {
    const error = failureOf(throwing('VWN_SETTING', 'X is a, and must be a number: correct it'), { isNamed: false });
    expect(error).toBeInstanceOf(ConfigError);
    expect(error).toMatchObject({ message: 'X is a: expected a number. Correct it', expected: 'a number' });
    expect(error).toMatchObject({ hint: 'Correct it' });
  });
});
