import type { Options } from 'tsup';

/** One build for every package: ESM with declarations, neighbours and peers left external. */
export function buildOptions(entry: NonNullable<Options['entry']> = ['src/index.ts'], extra: Options = {}): Options {
  return {
    entry,
    format: ['esm'],
    target: 'node20.19',
    dts: true,
    clean: true,
    sourcemap: true,
    treeshake: true,
    ...extra,
  };
}
