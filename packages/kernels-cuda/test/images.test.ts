import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { architectures, compileImages, findNvcc, imagesSource, readReport } from '../scripts/images.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const nvcc = findNvcc();
/**
 * With 128 registers a thread a multiprocessor holds two blocks of 256, so that one works while the other waits on memory;
 * blocks of attention and of large tiles of products on tensor cores have 128 threads, whose sums are in registers, or by
 * warpgroups what its launch bounds leave to each of as many blocks as fit; connectionTilesGrad takes all shared memory for one
 * block, which copies the next tokens meanwhile, and keeps gradients in registers from token to token, as connectionFewGrad does,
 * whose blocks have 128 threads in wide models, and rmsNormRowsGrad with rows of over 1024 columns.
 */
const keptInRegisters =
  /^(flash|hopper|warpgroupCheck|connectionTilesGrad|connectionFew|rmsNormRowsGrad_of8|half.*_large)/;
const mostRegisters = (kernel: string) =>
  keptInRegisters.test(kernel)
    ? 255
    : kernel.startsWith('attention')
      ? 248
      : kernel.startsWith('connectionStep')
        ? 200
        : 128;

describe('what ptxas says of a kernel', () => {
  it('is read with its architecture, registers and spilled bytes', () => {
    const text = `ptxas info    : Compiling entry function 'fill_f32' for 'sm_90a'
ptxas info    : Function properties for fill_f32
    16 bytes stack frame, 8 bytes spill stores, 4 bytes spill loads
ptxas info    : Used 24 registers, used 0 barriers`;
    expect(readReport(text)).toEqual([{ kernel: 'fill_f32', architecture: '90a', registers: 24, spilledBytes: 12 }]);
  });
});

describe('images in the addon', () => {
  it('are none where there is no nvcc', () => {
    expect(imagesSource([])).toContain('const void *const images[] = {nullptr};');
  });
});

if (nvcc)
  describe('kernels compiled by nvcc', async () => {
    const images = await compileImages(nvcc, join(root, 'native'), join(root, 'build', 'images'));
    const sources = readdirSync(join(root, 'native', 'device')).filter((name) => name.endsWith('.cu'));

    it('are one image for each file', () => expect(images.map(({ stem }) => `${stem}.cu`)).toEqual(sources.sort()));

    it.each(images)('of $stem are there for every architecture, spill nothing, and keep to their registers', (each) => {
      const kernels = readReport(readFileSync(each.report, 'utf8'));
      const names = [...new Set(kernels.map(({ kernel }) => kernel))];
      expect(kernels).toHaveLength(names.length * architectures.length);
      expect(kernels.filter(({ spilledBytes }) => spilledBytes > 0)).toEqual([]);
      expect(kernels.filter(({ kernel, registers }) => registers > mostRegisters(kernel))).toEqual([]);
    });

    it('by warpgroups are empty but for compute capability 9.0', () => {
      const kernels = images.flatMap(({ report }) => readReport(readFileSync(report, 'utf8')));
      const byWarpgroups = kernels.filter(({ kernel }) => /^(hopper|warpgroupCheck)/.test(kernel));
      const areFull = byWarpgroups.filter(({ registers }) => registers > 32).map(({ architecture }) => architecture);
      expect(areFull).toHaveLength(byWarpgroups.length / architectures.length);
      expect(new Set(areFull)).toEqual(new Set(['90a']));
    });

    it.each(images)(
      'of $stem have products by warpgroups as they were asked for: ptxas adds no wait and no order',
      ({ report }) => {
        expect(readFileSync(report, 'utf8')).not.toMatch(/Potential Performance Loss|\(C75\d\d\)/);
      },
    );
  });
else
  describe('kernels', () => {
    it('are NOT COMPILED for GPUs: there is no nvcc here', () => expect(nvcc).toBeUndefined());
  });
