import { DataError, StorageError } from '@vwn/core';
import { writeFileAtomically } from '@vwn/layers/checkpoint';
import { appendFileSync, existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';

/** One line of metrics.jsonl: a training step. */
export interface StepMetrics {
  readonly step: number;
  /** Training tokens so far. */
  readonly tokens: number;
  /** Total loss: next-token, multi-token heads, load balancing. */
  readonly loss: number;
  /** Next-token loss, next-2-token loss, …. */
  readonly losses: readonly number[];
  readonly lr: number;
  /** Before clipping. */
  readonly grad_norm: number;
  readonly step_ms: number;
  readonly tokens_per_s: number;
  /** Held-out next-token loss after this step, on steps that evaluate. */
  readonly eval_loss?: number;
}

/** Appends a line. @throws StorageError */
export function appendMetrics(file: string, metrics: StepMetrics): void {
  try {
    appendFileSync(file, `${JSON.stringify(metrics)}\n`);
  } catch (cause) {
    const got = cause instanceof Error ? cause.message : String(cause);
    throw new StorageError(`cannot write ${file}`, {
      got,
      hint: 'Checkpoints written before are intact; make room and go on with --resume',
      cause,
    });
  }
}

/** The steps of a metrics.jsonl; a last line that a crash cut short is left out. @throws DataError */
export async function readMetrics(file: string): Promise<StepMetrics[]> {
  if (!existsSync(file)) return [];
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    const got = cause instanceof Error ? cause.message : String(cause);
    throw new DataError(`cannot read ${file}`, { expected: 'the metrics of a run', got, cause });
  });
  return text.split('\n').flatMap((line) => parseLine(line) ?? []);
}

function parseLine(line: string): StepMetrics | undefined {
  if (!line.endsWith('}')) return undefined;
  try {
    return JSON.parse(line) as StepMetrics;
  } catch {
    return undefined; // torn by a crash in the middle of a write
  }
}

/** Drops the lines after a step, and a torn one: what a resumed run will write again. @throws StorageError */
export async function cutMetrics(file: string, lastStep: number): Promise<void> {
  const kept = (await readMetrics(file)).filter(({ step }) => step <= lastStep);
  await writeFileAtomically(file, [kept.map((each) => `${JSON.stringify(each)}\n`).join('')]);
}
