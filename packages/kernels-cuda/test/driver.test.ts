/** The loader against a driver that is not there, and against one that the C++ compiler makes here; no GPU is needed. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const hasKernels = !/images\[\] = \{nullptr\}/.test(readFileSync(here('../build/images.cc'), 'utf8'));
let folder = '';

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'vwn-driver-'));
  const compiler = process.env.CXX ?? 'g++';
  execFileSync(compiler, ['-shared', '-fPIC', here('support/fake-driver.cc'), '-o', join(folder, 'libcuda.so')]);
});
afterAll(() => rmSync(folder, { recursive: true }));

const log = () => join(folder, 'launches.txt');

function loadWith(
  wrong?: string,
  driver = join(folder, 'libcuda.so'),
  cublasLt = 'none',
  settings: Record<string, string> = {},
): Record<string, unknown> {
  const env = {
    ...process.env,
    VWN_CUDA_DRIVER: driver,
    VWN_CUBLASLT: cublasLt,
    FAKE_CUDA_LOG: log(),
    ...(wrong ? { FAKE_CUDA: wrong } : {}),
    ...settings,
  };
  rmSync(log(), { force: true });
  const { stdout, status } = spawnSync(process.execPath, [here('support/use-driver.mjs')], { env, encoding: 'utf8' });
  expect(status).toBe(0);
  return JSON.parse(stdout) as Record<string, unknown>;
}

/** Launches since the library was loaded last. */
const launches = () => (existsSync(log()) ? readFileSync(log(), 'utf8').trim().split('\n') : []);

/** Attention of 64 columns in bf16 and its gradients. */
const byWarpgroups = ['hopperFlash_of64_bf16', 'flashDots_bf16', 'hopperGrad_of64_bf16'].map(
  (name) => `kernel ${name}`,
);
const byWarps = ['flash_of64_bf16', 'flashDots_bf16', 'flashQueryGrad_of64_bf16', 'flashKeyGrad_of64_bf16'].map(
  (name) => `kernel ${name}`,
);

describe('loading the library for GPUs', () => {
  it('says that there is no driver where there is none, and harms nothing', () => {
    expect(loadWith(undefined, join(folder, 'missing.so')).error).toMatch(
      /^there is no NVIDIA driver here: .*missing\.so/,
    );
  });

  it('says that a driver is too old by the function that it lacks', () => {
    const empty = join(folder, 'empty.so');
    execFileSync(process.env.CXX ?? 'g++', ['-shared', '-fPIC', '-x', 'c++', '/dev/null', '-o', empty]);
    expect(loadWith(undefined, empty).error).toBe('the NVIDIA driver is too old: it has no cuInit');
  });

  it('says the same when it is asked for again', () => {
    const { error, secondError } = loadWith('no-gpu');
    expect(secondError).toBe(error);
  });

  it('says that the driver finds no GPU', () => {
    expect(loadWith('no-gpu').error).toBe('the NVIDIA driver finds no GPU');
  });

  it('names a GPU that is too old, its compute capability, and what is needed', () => {
    expect(loadWith('old').error).toBe(
      'Imaginary GPU is of compute capability 7.5; kernels are compiled for 8.0 and newer',
    );
  });
});

// What a build without nvcc must say instead is a claim of its own.
if (hasKernels)
  describe('the library on a GPU', () => {
    it('copies memory to the GPU and back, and has none of it on the host', () => {
      const { device, hostBytes, isWhatWasWritten, error } = loadWith();
      expect({ device, hostBytes, isWhatWasWritten, error }).toEqual({
        device: 'Imaginary GPU, no cuBLASLt, warpgroups',
        hostBytes: 0,
        isWhatWasWritten: true,
        error: undefined,
      });
    });

    it('says that what is given for cuBLASLt cannot be opened, or is not that', () => {
      const missing = join(folder, 'missing.so');
      expect(loadWith(undefined, undefined, missing).error).toMatch(
        /^VWN_CUBLASLT names what cannot be opened: .*missing\.so/,
      );
      const other = join(folder, 'libcuda.so');
      expect(loadWith(undefined, undefined, other).error).toBe(
        'cuBLASLt is not what it should be: it has no cublasLtGetVersion',
      );
    });

    it('gives no block when the GPU has no memory left', () => {
      expect(loadWith('no-memory')).toMatchObject({ hasMemory: false });
    });

    it('throws what the driver says of a kernel that failed, with the kernel’s name', () => {
      const { error } = loadWith('broken-kernel', undefined, 'none', { VWN_CUDA_WARPGROUPS: '0' });
      expect(error).toBe('kernel fill_f32: an illegal memory access was encountered');
    });

    it('throws what the driver says where it looks for a kernel after another has failed, and not that there is none', () => {
      const { error } = loadWith('broken-before', undefined, 'none', { VWN_CUDA_WARPGROUPS: '0' });
      expect(error).toBe('finding kernel fill_f32: an illegal memory access was encountered');
    });

    it('tries products by warpgroups before it uses them, and says where they fail, or are wrong and not used', () => {
      loadWith();
      expect(launches().slice(0, 3)).toEqual([
        'kernel warpgroupCheck_f32',
        'kernel clusterCheck_f32',
        'kernel turnCheck_f32',
      ]);
      expect(loadWith('broken-kernel').error).toBe(
        'trying products by warpgroups: kernel warpgroupCheck_f32: an illegal memory access was encountered; VWN_CUDA_WARPGROUPS=0 does without them',
      );
      expect(loadWith('wrong-products').device).toBe(
        'Imaginary GPU, no cuBLASLt, no warpgroups (their products are wrong)',
      );
      expect(launches().slice(-4)).toEqual(byWarps);
      expect(loadWith('wrong-clusters').device).toBe(
        'Imaginary GPU, no cuBLASLt, warpgroups, no clusters (what their blocks show each other is wrong)',
      );
      expect(launches().slice(-3)).toEqual(byWarpgroups);
      expect(loadWith('wrong-turns').device).toBe(
        'Imaginary GPU, no cuBLASLt, warpgroups, no turns (what blocks add one after the other is wrong)',
      );
      expect(launches().slice(-4)).toEqual(['kernel hopperFlash_of64_bf16', ...byWarps.slice(1)]);
    });

    it('runs recorded calls as one graph, again and again', () => {
      expect(loadWith()).toMatchObject({ played: [true, true] });
      expect(launches().slice(3, 6)).toEqual(['kernel fill_f32', 'graph of 2', 'graph of 2']);
    });

    it('makes attention in bf16 by warpgroups on compute capability 9.0, and not on a newer GPU or where that is switched off', () => {
      const attentionWith = (wrong?: string, settings = {}) => {
        expect(loadWith(wrong, undefined, 'none', settings).error).toBeUndefined();
        return launches().filter((line) => /flash|hopper/i.test(line));
      };
      expect(attentionWith()).toEqual(byWarpgroups);
      expect(attentionWith('newer')).toEqual(byWarps);
      expect(attentionWith(undefined, { VWN_CUDA_WARPGROUPS: '0' })).toEqual(byWarps);
    });

    it('makes own products of float32 without tensor cores and of bf16 with them, and connections of slots that fill no tile, too', () => {
      expect(loadWith().error).toBeUndefined();
      expect(launches().slice(6, 9)).toEqual([
        'kernel matmul_f32',
        'kernel halfMatmul_small_nn',
        'kernel connectionTiles_upTo16',
      ]);
    });

    it('records nothing where VWN_CUDA_GRAPHS is 0', () => {
      expect(loadWith(undefined, undefined, 'none', { VWN_CUDA_GRAPHS: '0' })).toMatchObject({ records: false });
    });

    it.each([
      ['no-capture', 'no CUDA graph can be begun: recording: operation not permitted when stream is capturing'],
      [
        'broken-capture',
        'no CUDA graph can be made of the calls: recording: operation failed due to a previous error during capture',
      ],
    ])('throws what the driver says of a recording that fails, and how to do without (%s)', (wrong, text) => {
      expect(loadWith(wrong).error).toBe(`${text}; VWN_CUDA_GRAPHS=0 does without graphs`);
    });

    it('throws what the driver says of a graph that fails', () => {
      expect(loadWith('broken-graph').error).toBe(
        'running a graph of kernels: an illegal memory access was encountered',
      );
    });

    it('throws what the driver says of images that it cannot load', () => {
      expect(loadWith('no-kernels').error).toBe('loading kernels on Imaginary GPU: no kernel image is available');
    });
  });
else
  describe('a library that was built without nvcc', () => {
    it('says that it holds no kernels', () => {
      expect(loadWith().error).toBe('this build of vwn-cuda holds no kernels: there was no nvcc');
    });
  });
