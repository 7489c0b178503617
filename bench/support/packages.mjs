/**
 * The built packages of this checkout, or of the one that VWN_BENCH_CHECKOUT names, by name; bench/ is no workspace
 * package, so they are found from apps/cli.
 */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const checkout = process.env.VWN_BENCH_CHECKOUT;
const fromCli = createRequire(
  checkout ? join(checkout, 'apps/cli/package.json') : new URL('../../apps/cli/package.json', import.meta.url),
);

/** @throws Error saying what to run, when the packages are not installed or not built */
export async function importBuilt(specifier) {
  try {
    return await import(pathToFileURL(fromCli.resolve(specifier)).href);
  } catch (error) {
    if (!['MODULE_NOT_FOUND', 'ERR_MODULE_NOT_FOUND'].includes(error.code)) throw error;
    throw new Error(
      `${specifier} is not built${checkout ? ` in ${checkout}` : ''}: run npx --yes pnpm@10 run build (${error.message.split('\n')[0]})`,
      {
        cause: error,
      },
    );
  }
}

/**
 * Makes a backend current. As for the tests, VWN_TENSORFLOW_MODULE names the module that brings `tensorflow`.
 * @returns {Promise<Record<string, string>>} facts for people
 */
export async function useBackend(core, name, threads) {
  if (threads) limitThreads(threads);
  const tensorflow = process.env.VWN_TENSORFLOW_MODULE;
  if (tensorflow)
    core.registerBackendLoader('tensorflow', async () => {
      await core.prepareTfjsNode();
      fromCli(tensorflow);
      return { package: 'VWN_TENSORFLOW_MODULE' };
    });
  return (await core.selectBackend(name)).details;
}

/** Native libraries read these when they start, so this comes before the backend is loaded. */
function limitThreads(threads) {
  for (const name of ['VWN_NUM_THREADS', 'OMP_NUM_THREADS', 'TF_NUM_INTRAOP_THREADS'])
    process.env[name] = String(threads);
}

/** @throws Error when this checkout or this backend has fp32 only */
export function usePrecision(core, precision) {
  if (core.setPrecision) return core.setPrecision(precision);
  if (precision !== 'fp32')
    throw new Error(`@vwn/core has no setPrecision, so only fp32 can be timed; got ${precision}. Build it again`);
}
