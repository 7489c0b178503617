/** @returns {{ min: number, q1: number, median: number, q3: number, max: number }} quartiles by linear interpolation */
export function quartiles(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share) => {
    const place = (sorted.length - 1) * share;
    const below = Math.floor(place);
    const above = Math.min(below + 1, sorted.length - 1);
    return sorted[below] + (sorted[above] - sorted[below]) * (place - below);
  };
  return { min: at(0), q1: at(0.25), median: at(0.5), q3: at(0.75), max: at(1) };
}

export function round(value, digits = 2) {
  return Number(value.toFixed(digits));
}

/** Rows of text as aligned columns: the columns of `left` to the left, all others (numbers) to the right. */
export function alignedTable(header, rows, left = [0]) {
  const all = [header, ...rows].map((row) => row.map(String));
  const widths = header.map((_, i) => Math.max(...all.map((row) => row[i].length)));
  const pad = (cell, i) => (left.includes(i) ? cell.padEnd(widths[i]) : cell.padStart(widths[i]));
  return all.map((row) => row.map(pad).join('  ').trimEnd()).join('\n');
}
