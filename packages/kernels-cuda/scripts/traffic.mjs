/**
 * What kernels ask of memory, from a report of a watched build, as a GPU would serve it:
 *
 *   node scripts/build-native.mjs --watched
 *   VWN_CUDA_ADDON=…/build/watched/vwn_cuda.node VWN_WATCH_REPORT=report.json node program.mjs
 *   node scripts/traffic.mjs report.json [--lines]
 *
 * device: MB that launches read and write once each, and how many times as much the sectors of 32 bytes hold that their warps
 * ask for (caches may serve what is asked for again). shared: turns of shared memory's 32 banks, and how many times as many
 * they are as without conflicts. --lines: the source lines that cost most, with what they take beyond the least.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const sectorBytes = 32;
const { positionals, values } = parseArgs({ allowPositionals: true, options: { lines: { type: 'boolean' } } });
if (positionals.length !== 1) throw new Error('one report is needed, which VWN_WATCH_REPORT has named');
const kernels = JSON.parse(readFileSync(positionals[0], 'utf8'));

const header = [
  'kernel',
  'launches',
  'read MB',
  'written MB',
  'sectors/read',
  'sectors/written',
  'turns',
  'turns/least',
];
print([header, ...kernels.map(rowOf)]);
if (values.lines)
  for (const kernel of kernels.filter(({ instructions }) => instructions.length > 0)) printLines(kernel);

function rowOf({ kernel, launches, bytesRead, bytesWritten, instructions }) {
  const sum = (key, isShared, isWrite) =>
    instructions
      .filter((each) => each.isShared === isShared && (isWrite === undefined || each.isWrite === isWrite))
      .reduce((total, each) => total + each[key], 0);
  const times = (of, by) => (by > 0 ? (of / by).toFixed(2) : '-');
  return [
    kernel,
    launches,
    (bytesRead / 1e6).toFixed(3),
    (bytesWritten / 1e6).toFixed(3),
    times(sectorBytes * sum('units', 0, 0), bytesRead),
    times(sectorBytes * sum('units', 0, 1), bytesWritten),
    sum('units', 1),
    times(sum('units', 1), sum('least', 1)),
  ];
}

function printLines({ kernel, instructions }) {
  const places = linesOf(instructions.map(({ at }) => at));
  const lines = new Map();
  instructions.forEach(({ isWrite, isShared, units, least }, i) => {
    const title = `${isShared ? 'shared' : 'device'} ${isWrite ? 'write' : 'read '} ${places[i]}`;
    const line = lines.get(title) ?? { units: 0, least: 0 };
    lines.set(title, { units: line.units + units, least: line.least + (isShared ? least : least / sectorBytes) });
  });
  const costly = [...lines].sort(([, a], [, b]) => b.units - a.units).slice(0, 24);
  process.stdout.write(`\n${kernel}\n`);
  print(costly.map(([title, { units, least }]) => [title, Math.round(units), (units / least).toFixed(2)]));
}

/** Where addresses of the library stand in the sources: lines that lead there, the innermost first, but for those of helpers. */
function linesOf(addresses) {
  const library = join(root, 'build', 'watched', 'vwn_cuda.node');
  // A return address is that of the next instruction.
  const args = ['-e', library, '-i', '-a', ...addresses.map((at) => (at - 1).toString(16))];
  const { stdout } = spawnSync('addr2line', args, { encoding: 'utf8', maxBuffer: 2 ** 28 });
  return stdout
    .split(/^0x\w+\n/m)
    .slice(1)
    .map((frames) => {
      const named = frames
        .trim()
        .split('\n')
        .map((frame) => basename(frame.replace(/ \(discriminator.*/, '')));
      return named
        .filter((frame) => !/^(warp-matrix|device)\.h/.test(frame))
        .slice(0, 4)
        .join(' < ');
    });
}

function print(rows) {
  const widths = rows[0].map((_, i) => Math.max(...rows.map((row) => String(row[i]).length)));
  const padded = (cell, i) => (i ? String(cell).padStart(widths[i]) : String(cell).padEnd(widths[i]));
  for (const row of rows) process.stdout.write(`${row.map(padded).join('  ')}\n`);
}
