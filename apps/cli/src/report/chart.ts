/** Line charts as plain SVG text, for reports that must open anywhere without a network. */
export interface Series {
  readonly name: string;
  readonly colour: string;
  readonly points: readonly (readonly [x: number, y: number])[];
  /** Thin and faint, for the noisy curve behind a smooth one. */
  readonly faint?: boolean;
}

export interface ChartOptions {
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly width?: number;
  readonly height?: number;
}

const margin = { left: 56, right: 16, top: 34, bottom: 44 };

export function lineChart(series: readonly Series[], options: ChartOptions): string {
  const { width = 760, height = 380 } = options;
  const points = series.flatMap((each) => each.points);
  const x = scale(
    points.map(([value]) => value),
    margin.left,
    width - margin.right,
    0,
  );
  const y = scale(
    points.map(([, value]) => value),
    height - margin.bottom,
    margin.top,
    0.04,
  );
  const grid = [
    ...y.ticks.map((tick) => horizontal(y.at(tick), margin.left, width - margin.right, label(tick))),
    ...x.ticks.map((tick) => vertical(x.at(tick), height - margin.bottom, label(tick))),
  ];
  const lines = series.map(
    ({ points: each, colour, faint }) =>
      `<polyline fill="none" stroke="${colour}" stroke-width="${faint ? 1 : 2.2}" stroke-opacity="${faint ? 0.3 : 1}" points="${each
        .map(([px, py]) => `${x.at(px).toFixed(1)},${y.at(py).toFixed(1)}`)
        .join(' ')}"/>`,
  );
  return `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${escapeHtml(options.title)}" xmlns="http://www.w3.org/2000/svg">
<text x="${margin.left}" y="18" class="title">${escapeHtml(options.title)}</text>
${grid.join('\n')}
${lines.join('\n')}
${legend(series, width)}
<text x="${(margin.left + width - margin.right) / 2}" y="${height - 8}" text-anchor="middle">${escapeHtml(options.xLabel)}</text>
<text transform="translate(14 ${height / 2}) rotate(-90)" text-anchor="middle">${escapeHtml(options.yLabel)}</text>
</svg>`;
}

export function escapeHtml(text: string): string {
  const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
  return text.replace(/[&<>"']/g, (char) => entities[char] ?? char);
}

function scale(values: readonly number[], from: number, to: number, padding: number) {
  const finite = values.filter(Number.isFinite);
  // Not of all as arguments: a function takes fewer than a long run has steps.
  const low = finite.reduce((least, value) => Math.min(least, value), Infinity);
  const high = finite.reduce((most, value) => Math.max(most, value), -Infinity);
  const room = (high - low || 1) * padding;
  const [min, max] = [low - room, high === low ? low + 1 : high + room];
  const at = (value: number) => from + ((value - min) / (max - min)) * (to - from);
  return { at, ticks: ticksBetween(min, max) };
}

/** Round numbers (1, 2 or 5 times a power of ten), about six of them. */
export function ticksBetween(min: number, max: number): number[] {
  const raw = (max - min) / 6;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * ([1, 2, 5, 10].find((each) => each * power >= raw) ?? 10);
  const ticks: number[] = [];
  for (let i = Math.ceil(min / step); i * step <= max; i++) ticks.push(Number((i * step).toPrecision(12)));
  return ticks;
}

function label(value: number): string {
  return Math.abs(value) >= 10_000 ? `${Number((value / 1000).toPrecision(4))}k` : String(value);
}

function horizontal(y: number, left: number, right: number, text: string): string {
  return `<line x1="${left}" x2="${right}" y1="${y}" y2="${y}" class="grid"/><text x="${left - 6}" y="${y + 4}" text-anchor="end">${text}</text>`;
}

function vertical(x: number, bottom: number, text: string): string {
  return `<line x1="${x}" x2="${x}" y1="${margin.top}" y2="${bottom}" class="grid"/><text x="${x}" y="${bottom + 16}" text-anchor="middle">${text}</text>`;
}

function legend(series: readonly Series[], width: number): string {
  return series
    .filter((each) => !each.faint)
    .map(({ name, colour }, i) => {
      const y = margin.top + 14 + i * 18;
      const x = width - margin.right - 210;
      return `<line x1="${x}" x2="${x + 22}" y1="${y}" y2="${y}" stroke="${colour}" stroke-width="3"/><text x="${x + 28}" y="${y + 4}">${escapeHtml(name)}</text>`;
    })
    .join('\n');
}
