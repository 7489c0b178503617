/**
 * What warps did, from a report of the interpreter of PTX:
 *
 *   VWN_INTERPRETED_COUNTS=report.json <a program on vwn-cuda, on the interpreter>
 *   node scripts/instructions.mjs report.json [--lines kernel]
 *
 * A line for each kernel: instructions of PTX by whole warps, and the share that are float arithmetic, matrix products, memory and
 * everything else. With --lines, those of one kernel by lines of its source. PTX is not what a GPU runs: ptxas makes one
 * instruction of a product and a sum, and none of most moves; a division of 64 bits becomes some hundred.
 */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { parseArgs } from 'node:util';

const { values, positionals } = parseArgs({ allowPositionals: true, options: { lines: { type: 'string' } } });
if (positionals.length !== 1) {
  process.stderr.write('Usage: node scripts/instructions.mjs report.json [--lines kernel]\n');
  process.exit(1);
}
// Whoever reads the first lines only closes the pipe.
process.stdout.on('error', (error) => process.exit(error.code === 'EPIPE' ? 0 : 1));
const counts = JSON.parse(readFileSync(positionals[0], 'utf8'));

const kinds = {
  float: /^(add|sub|mul|fma|div|rcp|sqrt|ex2|lg2|min|max|neg|abs|rsqrt)\b.*\.f(32|64)$/,
  matrix: /^(mma|wgmma|ldmatrix)\b/,
  memory: /^(ld|st|cp)\b(?!.*\.param)/,
};
const kindOf = (opcode) => Object.keys(kinds).find((kind) => kinds[kind].test(opcode)) ?? 'other';

/** [[key, sum]], the largest first. */
function sums(entries, keyOf) {
  const all = new Map();
  for (const entry of entries) all.set(keyOf(entry), (all.get(keyOf(entry)) ?? 0) + entry.count);
  return [...all].sort((a, b) => b[1] - a[1]);
}

function printKernels() {
  for (const [kernel, total] of sums(counts, (entry) => entry.kernel)) {
    const own = new Map(
      sums(
        counts.filter((entry) => entry.kernel === kernel),
        (entry) => kindOf(entry.opcode),
      ),
    );
    const shares = [...Object.keys(kinds), 'other'].map(
      (kind) => `${kind} ${((100 * (own.get(kind) ?? 0)) / total).toFixed(0).padStart(3)} %`,
    );
    process.stdout.write(`${String(total).padStart(14)}  ${kernel.padEnd(34)}  ${shares.join('  ')}\n`);
  }
}

function printLines(kernel) {
  const own = counts.filter((entry) => entry.kernel === kernel);
  const total = own.reduce((sum, entry) => sum + entry.count, 0);
  const sources = new Map();
  const textOf = (file, line) => {
    if (!sources.has(file)) sources.set(file, readFileSync(file, 'utf8').split('\n'));
    return sources.get(file)[line - 1]?.trim() ?? '';
  };
  for (const [place, count] of sums(own, ({ file, line }) => `${file ?? ''}:${String(line)}`)) {
    const [file, line] = [place.slice(0, place.lastIndexOf(':')), Number(place.slice(place.lastIndexOf(':') + 1))];
    const text = file && line > 0 ? textOf(file, line) : '';
    const share = ((100 * count) / total).toFixed(1).padStart(5);
    process.stdout.write(`${share} %  ${basename(file)}:${String(line)}  ${text}\n`);
  }
}

if (values.lines) printLines(values.lines);
else printKernels();
