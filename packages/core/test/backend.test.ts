import * as tf from '@tensorflow/tfjs-core';
import { afterEach, describe, expect, it } from 'vitest';
import { BackendError, ConfigError, backendReport, registerBackendLoader, selectBackend } from '../src/index';

afterEach(() => void delete process.env.VWN_BACKEND);

describe('the choice of a backend', () => {
  it('follows the name given by hand, then VWN_BACKEND', async () => {
    process.env.VWN_BACKEND = 'wasm';
    expect((await selectBackend('cpu')).name).toBe('cpu');
    expect((await selectBackend()).name).toBe('wasm');
    expect(tf.getBackend()).toBe('wasm');
  });

  it('takes the first of the order of preference that works', async () => {
    registerBackendLoader('vwn-cuda', () => {
      throw new Error('broken on purpose');
    });
    const report = await backendReport();
    expect(report.map(({ name }) => name)).toEqual(['vwn-cuda', 'tensorflow', 'vwn-cpu', 'wasm', 'cpu']);
    const usable = report.filter(
      ({ name, available, details }) => available && name !== 'vwn-cuda' && details?.device !== 'CPU',
    );
    expect((await selectBackend()).name).toBe(usable[0]?.name);
    expect(report.find(({ name }) => name === 'vwn-cuda')?.reason).toContain('broken on purpose');
  });

  it('fails for a backend named by hand that cannot be loaded, with a remedy, and does not take another', async () => {
    await expect(selectBackend('vwn-cuda')).rejects.toThrow(BackendError);
    await expect(selectBackend('vwn-cuda')).rejects.toThrow(
      /backend vwn-cuda is not available: got .*npm install @vwn\/kernels-cuda/,
    );
    await expect(selectBackend('gpu')).rejects.toThrow(
      'there is no backend called gpu: expected one of vwn-cuda, tensorflow, vwn-cpu, wasm, cpu',
    );
  });

  it('fails with what a setting must be, and reports it, where a library refuses one', async () => {
    registerBackendLoader('vwn-cuda', () => {
      throw new ConfigError('a setting that cannot be', { got: 'a path' });
    });
    await expect(selectBackend('vwn-cuda')).rejects.toThrow(ConfigError);
    const reported = (await backendReport()).find(({ name }) => name === 'vwn-cuda');
    const remedy = 'correct the environment variable';
    const reason = 'a setting that cannot be: got a path';
    expect(reported).toEqual({ name: 'vwn-cuda', available: false, reason, remedy });
  });

  it('leaves the current backend as it was after a report', async () => {
    await selectBackend('cpu');
    await backendReport();
    expect(tf.getBackend()).toBe('cpu');
  });
});
