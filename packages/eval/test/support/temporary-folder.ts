import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { onTestFinished } from 'vitest';

/** A folder with these files, removed after the test. Values that are not text are written as JSONL. */
export function folderWith(files: Record<string, string | readonly unknown[]>): string {
  const folder = mkdtempSync(join(tmpdir(), 'vwn-eval-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    const text = typeof content === 'string' ? content : content.map((row) => `${JSON.stringify(row)}\n`).join('');
    writeFileSync(join(folder, name), text);
  }
  return folder;
}
