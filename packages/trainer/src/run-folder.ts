import { ConfigError, StorageError } from '@vwn/core';
import { completeCheckpoints, makeFolder, writeFileAtomically } from '@vwn/layers/checkpoint';
import { statSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { cutMetrics } from './log/metrics';
import { RunLock } from './run-lock';
import type { TrainConfig } from './train-config';

/** Where the files of one run are. */
export class RunFolder {
  readonly metricsFile: string;
  readonly configFile: string;
  private lock: RunLock | undefined;

  constructor(readonly dir: string) {
    this.metricsFile = join(dir, 'metrics.jsonl');
    this.configFile = join(dir, 'config.yaml');
  }

  /**
   * Makes the folder, keeps other processes out of it until it is closed, and clears away what a crash left half-written.
   * @throws ConfigError when a run is there and is not to be resumed, or is going on; StorageError
   */
  async open(resume: boolean): Promise<void> {
    this.make();
    this.lock = RunLock.take(this.dir);
    if (!resume && (await this.holdsSteps()))
      throw new ConfigError(`${this.dir} already holds a run`, {
        hint: 'Go on with it (--resume), or choose another folder (--out)',
      });
    this.lock.clearLeftovers();
  }

  close(): void {
    this.lock?.release();
  }

  /** A run that failed before its first step has left nothing that another could spoil. */
  private async holdsSteps(): Promise<boolean> {
    const metrics = statSync(this.metricsFile, { throwIfNoEntry: false });
    return (metrics !== undefined && metrics.size > 0) || (await this.checkpoints()).length > 0;
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

  /** What a run writes before its next step, once nothing but a step can fail any more. @throws StorageError */
  async begin(config: TrainConfig, stepsDone: number): Promise<void> {
    await writeFileAtomically(this.configFile, [stringify(config)]);
    await cutMetrics(this.metricsFile, stepsDone);
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
