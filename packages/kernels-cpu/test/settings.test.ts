/** Environment variables of the library, each in a process of its own: they are read when it is loaded. */
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { runChild } from './support/child';
import { describeNative } from './support/native';

const threads = async (value: string) => runChild('threads.ts', { env: { VWN_NUM_THREADS: value } });

describeNative('VWN_NUM_THREADS', () => {
  it.each(['1', '3', '256'])('of %s is the number of threads', async (value) => {
    expect(await threads(value)).toMatchObject({ status: 0, stdout: value });
  });

  it('that is empty is none', async () => {
    expect(await threads('')).toMatchObject({ status: 0, stdout: expect.stringMatching(/^[1-9]\d*$/) });
  });

  it.each(['abc', '0', '-1', '1.5', '4x', '257', '99999999999999999999'])(
    'of %s is a ConfigError that says what it must be, and another backend is not taken',
    async (value) => {
      const { status, stdout } = await threads(value);
      expect({ status, stdout }).toEqual({
        status: 0,
        stdout:
          `ConfigError VWN_NUM_THREADS is ${value}: expected a whole number from 1 to 256. ` +
          'Correct it, or leave it out to use every processor',
      });
    },
  );
});

describeNative('VWN_CPU_ADDON', () => {
  it.each([
    ['/nowhere/vwn_cpu.node', 'there is no such file'],
    ['nowhere/vwn_cpu.node', 'there is no such file'],
    [import.meta.dirname, 'it is a folder'],
    [join(import.meta.dirname, '..', 'README.md'), 'it is no native library'],
  ])('of %s is a ConfigError that says what it must be, and another backend is not taken', async (value, why) => {
    const { status, stdout } = await runChild('threads.ts', { env: { VWN_CPU_ADDON: value } });
    expect({ status, stdout }).toEqual({
      status: 0,
      stdout:
        'ConfigError VWN_CPU_ADDON names no native library of vwn-cpu that can be loaded: ' +
        `expected the absolute path of a build of it, got ${value}: ${why}. ` +
        'Correct VWN_CPU_ADDON, or leave it out to use the library of this checkout or of the package',
    });
  });
});
