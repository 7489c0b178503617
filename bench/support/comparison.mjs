/** What comes of the runs: medians over rounds, the peer's best, ratios against targets. */
import { alignedTable, quartiles, round } from './statistics.mjs';

/**
 * `--target 1.5`, `--target bf16=1.5`, `--target 8,64=2` or `--target 8,64:bf16=2`; the closest one holds.
 * @returns {(run: { mn: string, precision: string }) => number | undefined}
 */
export function parseTargets(texts) {
  const targets = new Map();
  for (const text of texts) {
    const [, key = '', ratio] = /^(?:([\d,]+(?::\w+)?|fp32|bf16)=)?(\d+(?:\.\d+)?)$/.exec(text) ?? [];
    if (ratio === undefined)
      throw new Error(`--target: expected a ratio such as 1.5, bf16=1.5, 8,64=2 or 8,64:bf16=2, got ${text}`);
    targets.set(key, Number(ratio));
  }
  return ({ mn, precision }) => {
    const keys = [`${mn}:${precision}`, mn, precision, ''];
    const found = keys.find((key) => targets.has(key));
    return found === undefined ? undefined : targets.get(found);
  };
}

/** Samples [{ mn, precision, contender, ours, line | failure }] of all rounds → one entry a configuration and contender. */
export function summarise(samples) {
  const groups = Map.groupBy ? Map.groupBy(samples, groupOf) : groupBy(samples, groupOf);
  return [...groups.values()].map((group) => {
    const [{ mn, precision, contender, ours }] = group;
    const lines = group.flatMap(({ line }) => line ?? []);
    const failure = group.find((each) => each.failure)?.failure;
    const facts = { mn, precision, contender, ours, ...(failure ? { failure } : {}) };
    if (lines.length === 0) return facts;
    return {
      ...facts,
      parameters: lines[0].parameters,
      tokens_per_s: spread(lines.map((line) => line.tokens_per_s)),
      step_ms: spread(lines.map((line) => line.step_ms)),
      rounds: lines,
    };
  });
}

function groupOf({ mn, precision, contender }) {
  return `${mn} ${precision} ${contender}`;
}

/** Node 20 has no Map.groupBy. */
function groupBy(items, keyOf) {
  const groups = new Map();
  for (const item of items) groups.set(keyOf(item), [...(groups.get(keyOf(item)) ?? []), item]);
  return groups;
}

function spread(values) {
  const { min, median, max } = quartiles(values);
  return { min: round(min), median: round(median), max: round(max) };
}

/** Each backend of ours against the fastest of the peer's modes. */
export function compare(runs, targetOf) {
  const timed = runs.filter((run) => run.tokens_per_s);
  return runs
    .filter(({ ours }) => ours)
    .map(({ mn, precision, contender, tokens_per_s: mine, parameters }) => {
      const rivals = timed.filter((run) => !run.ours && run.mn === mn && run.precision === precision);
      const best = rivals.sort((a, b) => b.tokens_per_s.median - a.tokens_per_s.median)[0];
      const target = targetOf({ mn, precision });
      return {
        mn,
        precision,
        contender,
        ...(best ? { best_peer: best.contender } : {}),
        ...(best && mine ? { ratio: round(mine.median / best.tokens_per_s.median, 3) } : {}),
        ...(best && mine && best.parameters !== parameters ? { note: 'numbers of parameters differ' } : {}),
        ...(target === undefined ? {} : { target }),
      };
    });
}

/** Tables for people: every contender, then ratios. */
export function comparisonText(runs, ratios) {
  const runRows = runs.map(({ mn, precision, contender, tokens_per_s: speed, step_ms: time }) => [
    mn,
    precision,
    contender,
    ...(speed ? [speed.median.toFixed(1), percentSpread(speed), time.median.toFixed(1)] : ['failed', '', '']),
  ]);
  const ratioRows = ratios.map(({ mn, precision, contender, best_peer: best, ratio, target, note }) => [
    mn,
    precision,
    contender,
    best ?? 'no peer',
    ratio?.toFixed(2) ?? '-',
    target ?? '-',
    [verdict(ratio, target), note].filter(Boolean).join(', '),
  ]);
  return [
    alignedTable(['m,n', 'precision', 'contender', 'tokens/s', 'spread', 'step ms'], runRows, [0, 1, 2]),
    alignedTable(['m,n', 'precision', 'ours', 'best of the peer', 'ratio', 'target', ''], ratioRows, [0, 1, 2, 3, 6]),
  ].join('\n\n');
}

function verdict(ratio, target) {
  if (target === undefined || ratio === undefined) return '';
  return ratio >= target ? 'reached' : 'missed';
}

/** Between the slowest and the fastest round, in percent of the median. */
function percentSpread({ min, median, max }) {
  return `${((100 * (max - min)) / median).toFixed(1)}%`;
}
