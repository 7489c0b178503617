/** What this machine's processor reaches at best, as the native kernels measure it. */
export interface Peaks {
  readonly fp32GflopsPerSecond: number;
  readonly bf16GflopsPerSecond?: number;
  readonly copyGbPerSecond: number;
}

export type PeaksOrReason = { readonly peaks: Peaks } | { readonly reason: string };

/** A variable, so that bundlers and type checkers do not look for a package that is optional. */
const kernelsPackage: string = '@vwn/kernels-cpu';

/** Measures the peaks, or says why they cannot be had. */
export async function findPeaks(
  load: () => Promise<unknown> = () => import(/* @vite-ignore */ kernelsPackage),
): Promise<PeaksOrReason> {
  let module: { measurePeaks?: () => Peaks | Promise<Peaks> };
  try {
    module = (await load()) as typeof module;
  } catch (error) {
    return { reason: `${kernelsPackage} cannot be loaded (${firstLine(error)})` };
  }
  if (typeof module.measurePeaks !== 'function') return { reason: `this ${kernelsPackage} has no measurePeaks` };
  try {
    return { peaks: await module.measurePeaks() };
  } catch (error) {
    return { reason: `${kernelsPackage} could not measure them (${firstLine(error)})` };
  }
}

function firstLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  const missing = /Cannot find (?:package|module) '([^']+)'/.exec(text);
  return missing ? 'it is not installed or not built' : (text.split('\n')[0] as string);
}
