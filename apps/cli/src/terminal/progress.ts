import { duration } from './format';

/**
 * One live line on a terminal; elsewhere (a file, CI) a plain line every few seconds. Writes to stderr, so that
 * stdout stays clean for results.
 */
export class Progress {
  private readonly started = performance.now();
  private lastPlain = -Infinity;
  private live = false;

  constructor(
    private readonly label: string,
    private readonly total: number,
    private readonly stream: NodeJS.WriteStream = process.stderr,
    private readonly plainEveryMs = 10_000,
  ) {}

  /** `done` of `total`; `first` is where this run began (a resumed one does not begin at 0). */
  update(done: number, facts: string, first = 0, total = this.total): void {
    const elapsed = (performance.now() - this.started) / 1000;
    const rate = (done - first) / Math.max(elapsed, 1e-9);
    const eta = done >= total ? `took ${duration(elapsed)}` : `ETA ${duration((total - done) / rate)}`;
    const line = `${this.label} ${done}/${total} ${bar(done / total)} ${facts}  ${eta}`;
    if (this.stream.isTTY) {
      this.stream.write(`\r\x1b[2K${line.slice(0, (this.stream.columns ?? 120) - 1)}`);
      this.live = true;
    } else if (performance.now() - this.lastPlain > this.plainEveryMs || done >= total) {
      this.lastPlain = performance.now();
      this.stream.write(`${line}\n`);
    }
  }

  /** Ends the live line, so that what is printed next starts on a fresh one. */
  finish(): void {
    if (this.live) this.stream.write('\n');
    this.live = false;
  }
}

function bar(fraction: number, width = 20): string {
  const filled = Math.round(Math.min(1, Math.max(0, fraction)) * width);
  return `[${'#'.repeat(filled)}${'.'.repeat(width - filled)}]`;
}
