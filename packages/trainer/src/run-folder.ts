import { ConfigError, StorageError } from '@vwn/core';
import { completeCheckpoints, makeFolder, temporaryMark, writeFileAtomically } from '@vwn/layers/checkpoint';
import { existsSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { TrainConfig } from './train-config';

/** Where the files of one run are. */
export class RunFolder {
  readonly metricsFile: string;
  readonly configFile: string;

  constructor(readonly dir: string) {
    this.metricsFile = join(dir, 'metrics.jsonl');
    this.configFile = join(dir, 'config.yaml');
  }

  /**
   * Makes the folder, or for a resumed run clears away what a crash left half-written.
   * @throws ConfigError when a run is there and is not to be resumed; StorageError
   */
  async open(resume: boolean): Promise<void> {
    this.make();
    if (!resume && (existsSync(this.metricsFile) || (await this.checkpoints()).length > 0))
      throw new ConfigError(`${this.dir} already holds a run`, {
        hint: 'Go on with it (--resume), or choose another folder (--out)',
      });
    for (const name of await readdir(this.dir))
      if (name.includes(temporaryMark)) await rm(join(this.dir, name), { recursive: true, force: true });
  }

  private make(): void {
    try {
      makeFolder(this.dir);
    } catch (cause) {
      const got = cause instanceof Error ? cause.message : String(cause);
      const hint = 'Choose another with --out';
      throw new StorageError(`cannot make the run folder ${this.dir}`, { got, hint, cause });
    }
  }

  async writeConfig(config: TrainConfig): Promise<void> {
    await writeFileAtomically(this.configFile, [stringify(config)]);
  }

  checkpointDir(step: number): string {
    return join(this.dir, `checkpoint-${step}`);
  }

  checkpoints(): Promise<{ step: number; dir: string }[]> {
    return completeCheckpoints(this.dir);
  }

  /** Deletes the oldest checkpoints beyond a number. */
  async prune(limit: number): Promise<void> {
    const all = await this.checkpoints();
    for (const { dir } of all.slice(0, Math.max(0, all.length - limit)))
      await rm(dir, { recursive: true, force: true });
  }
}
