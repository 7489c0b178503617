/** Times a case on several contenders round by round, so that drift of the machine touches all of them alike. */
import type { OpCase } from '@vwn/core/testing';
import type { Contender, Direction, PreparedCase } from './contender';
import { spreadOf, type Spread } from './statistics';

export interface RoundOptions {
  /** Rounds, each of which gives one sample of every contender. */
  readonly repeat: number;
  /** Least milliseconds of each contender and direction over all rounds; short operations run several times a round. */
  readonly minTimeMs: number;
}

export interface Timing {
  readonly contender: Contender;
  readonly bytes: number;
  readonly forward: Spread;
  readonly backward: Spread;
  /** Calls in one sample. */
  readonly calls: Readonly<Record<Direction, number>>;
}

interface Entrant {
  readonly contender: Contender;
  readonly prepared: PreparedCase;
  readonly calls: Record<Direction, number>;
  readonly samples: Record<Direction, number[]>;
}

/**
 * The forward part of a backward sample is not counted, so backward comes first: in it a contender gets its caches and
 * threads back from the one before.
 */
const order: readonly Direction[] = ['backward', 'forward'];

/** A timing for each contender that has the operation. */
export async function timeCase(
  contenders: readonly Contender[],
  opCase: OpCase,
  { repeat, minTimeMs }: RoundOptions,
): Promise<Timing[]> {
  const entrants: Entrant[] = [];
  try {
    for (const contender of contenders) {
      const prepared = await contender.prepare(opCase);
      if (!prepared) continue;
      const entrant = {
        contender,
        prepared,
        calls: { forward: 1, backward: 1 },
        samples: { forward: [], backward: [] },
      };
      entrants.push(entrant);
      await warmUp(entrant, minTimeMs / repeat);
    }
    for (let round = 0; round < repeat; round++)
      for (const { prepared, calls, samples } of entrants)
        for (const direction of order) samples[direction].push(await prepared.time(direction, calls[direction]));
  } finally {
    for (const { prepared } of entrants) prepared.dispose();
  }
  return entrants.map(({ contender, prepared, calls, samples }) => ({
    contender,
    bytes: prepared.bytes,
    forward: spreadOf(samples.forward),
    backward: spreadOf(samples.backward),
    calls,
  }));
}

const warmUpMs = 20;
const mostWarmUpCalls = 1024;

/** Lets compilers, caches and memory pools settle, and finds how many calls fill a sample. */
async function warmUp({ prepared, calls }: Entrant, sampleMs: number): Promise<void> {
  for (let n = 1; ; n *= 2) {
    const ms = { backward: await prepared.time('backward', n), forward: await prepared.time('forward', n) };
    if (n * (ms.backward + ms.forward) < warmUpMs && n < mostWarmUpCalls) continue;
    for (const direction of order)
      calls[direction] = Math.max(1, Math.ceil(sampleMs / Math.max(ms[direction], warmUpMs / 1e6)));
    return;
  }
}
