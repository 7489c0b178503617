/** What comes of the runs: medians, the peer's best, ratios against targets. */
import { alignedTable, round } from './statistics.mjs';
import { meansOf, ratioOf, spreadOf } from './turns.mjs';

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

/** An entry of takeTurns() as it is written down. */
export function runOf({ contender, hello, last, turns, failure }, { mn, precision }, { batch, seq }) {
  const facts = { mn, precision, contender: contender.title, ours: contender.ours === true, ...hello };
  if (turns.length === 0) return { ...facts, failure };
  const step_ms = spreadOf(turns);
  const tokens_per_s = round((batch * seq * 1000) / step_ms.median, 1);
  return { ...facts, ...(failure ? { failure } : {}), tokens_per_s, step_ms, ...last, turn_ms: meansOf(turns) };
}

/** Each backend of ours against the fastest of the peer's modes. */
export function compare(runs, targetOf) {
  const timed = runs.filter((run) => !run.failure);
  return runs
    .filter(({ ours }) => ours)
    .map(({ mn, precision, contender, turn_ms: mine, parameters }) => {
      const rivals = timed.filter((run) => !run.ours && run.mn === mn && run.precision === precision);
      const best = rivals.sort((a, b) => a.step_ms.median - b.step_ms.median)[0];
      const target = targetOf({ mn, precision });
      return {
        mn,
        precision,
        contender,
        ...(best ? { best_peer: best.contender } : {}),
        ...(best && mine ? { ratio: ratioOf(best.turn_ms, mine) } : {}),
        ...(best && mine && best.parameters !== parameters ? { note: 'numbers of parameters differ' } : {}),
        ...(target === undefined ? {} : { target }),
      };
    });
}

/** Tables for people: every contender, then ratios. */
export function comparisonText(runs, ratios) {
  const runRows = runs.map(({ mn, precision, contender, failure, tokens_per_s: speed, step_ms: time }) => [
    mn,
    precision,
    failure ? `${contender}, failed` : contender,
    ...(time
      ? [speed.toFixed(1), time.median.toFixed(1), `${time.q1.toFixed(1)}–${time.q3.toFixed(1)}`]
      : ['', '', '']),
  ]);
  const ratioRows = ratios.map(({ mn, precision, contender, best_peer: best, ratio, target, note }) => [
    mn,
    precision,
    contender,
    best ?? 'no peer',
    ratio?.median.toFixed(2) ?? '-',
    ratio ? `${ratio.q1.toFixed(2)}–${ratio.q3.toFixed(2)}` : '',
    target ?? '-',
    [verdict(ratio?.median, target), note].filter(Boolean).join(', '),
  ]);
  return [
    alignedTable(['m,n', 'precision', 'contender', 'tokens/s', 'step ms', 'quartiles'], runRows, [0, 1, 2]),
    alignedTable(
      ['m,n', 'precision', 'ours', 'best of the peer', 'ratio', 'quartiles', 'target', ''],
      ratioRows,
      [0, 1, 2, 3, 7],
    ),
  ].join('\n\n');
}

function verdict(ratio, target) {
  if (target === undefined || ratio === undefined) return '';
  return ratio >= target ? 'reached' : 'missed';
}
