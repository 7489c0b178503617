/**
 * Contenders that are to be compared take turns of a few steps, all in one stretch of time: what the machine does
 * meanwhile (other guests, clock, memory) meets all of them alike, so that the ratio of one turn's times is far steadier
 * than that of medians of processes that ran minutes apart. A new round starts all processes again, since where a
 * process happens to lie in memory has a share in its speed.
 */
import { startContender } from './contender.mjs';
import { quartiles, round } from './statistics.mjs';

/**
 * @param contenders [{ title, command, ... }] with `command` as of ourCommand() or torchCommand()
 * @param plan { rounds, turns, warmup, steps }: `steps` counted ones a turn, after one that is not counted
 * @param say called with a line on what has happened
 * @returns one entry a contender: { contender, hello, last, turns: number[][] (ms), failure? }
 */
export async function takeTurns(contenders, plan, say) {
  const entries = contenders.map((contender) => ({ contender, turns: [] }));
  for (let number = 1; number <= plan.rounds; number++) {
    const running = [];
    const before = new Map(entries.map((entry) => [entry, entry.turns.length]));
    try {
      for (const entry of entries.filter(({ failure }) => !failure))
        if (await attempt(entry, say, () => start(entry, plan))) running.push(entry);
      for (let turn = 0; turn < plan.turns; turn++)
        // Every second turn runs backwards, so that nobody always follows the same neighbour.
        for (const entry of turn % 2 ? [...running].reverse() : running)
          if (!entry.failure) await attempt(entry, say, () => oneTurn(entry, plan));
    } finally {
      await Promise.all(entries.map((entry) => entry.process?.stop()));
    }
    for (const entry of running) {
      const { contender } = entry;
      const turns = entry.turns.slice(before.get(entry));
      if (turns.length > 0)
        say(
          `round ${number}/${plan.rounds}  ${contender.title}: ${quartiles(turns.flat()).median.toFixed(1)} ms a step`,
        );
    }
  }
  return entries.map(({ process: _process, ...entry }) => entry);
}

async function start(entry, { warmup }) {
  entry.process = undefined;
  entry.process = await startContender(entry.contender.command);
  entry.hello = entry.process.hello;
  if (warmup > 0) await entry.process.take(warmup);
}

async function oneTurn(entry, { steps }) {
  const { ms, ...last } = await entry.process.take(steps + 1);
  entry.turns.push(ms.slice(1));
  entry.last = last;
}

/** A contender that fails is out, and says why; the others go on. */
async function attempt(entry, say, action) {
  try {
    await action();
    return true;
  } catch (error) {
    entry.failure = error.message;
    say(`${entry.contender.title}: ${error.message}`);
    return false;
  }
}

/** Quartiles of the milliseconds of all counted steps. */
export function spreadOf(turns) {
  const { min, q1, median, q3, max } = quartiles(turns.flat());
  return { min: round(min), q1: round(q1), median: round(median), q3: round(q3), max: round(max) };
}

/** A turn's time for a step: the mean, as a turn is a stretch of time that all of its steps share. */
export function meansOf(turns) {
  return turns.map((ms) => round(ms.reduce((sum, each) => sum + each, 0) / ms.length));
}

/** How many times as long a step takes in `a` as in `b`, turn by turn: median and quartiles; both of meansOf(). */
export function ratioOf(a, b) {
  const common = Math.min(a.length, b.length);
  const { q1, median, q3 } = quartiles(Array.from({ length: common }, (_, i) => a[i] / b[i]));
  return { q1: round(q1, 3), median: round(median, 3), q3: round(q3, 3) };
}
