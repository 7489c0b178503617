/** What the scripts of this folder share: flags, help, errors as messages, and files of results. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { machineName } from './machine.mjs';

const bench = join(dirname(fileURLToPath(import.meta.url)), '..');
const help = { type: 'boolean', default: false };

/** Parses the flags and calls main(values). The comment at the top of the script, whose import.meta.url is `url`, is its help. */
export async function runScript(url, options, main) {
  try {
    const { values } = parseArgs({ options: { ...options, help } });
    if (values.help) console.log(helpOf(readFileSync(new URL(url), 'utf8')));
    else await main(values);
  } catch (error) {
    // The message says what to do; a stack would hide it.
    console.error(process.env.DEBUG ? error : error.message);
    process.exitCode = 1;
  }
}

function helpOf(source) {
  const [comment] = /\/\*\*[\s\S]*?\*\//.exec(source) ?? [''];
  return comment.replace(/^\/\*\*\n?|\n? \*\/$/g, '').replace(/^ \* ?/gm, '');
}

export const resultFlags = { machine: { type: 'string' }, out: { type: 'string' } };

/** Where results go: --out, else results/MACHINE/DATE-name.json beside this folder. */
export function resultFile({ machine, out }, name) {
  return out ? resolve(out) : join(bench, 'results', machine ?? machineName(), `${today()}-${name}.json`);
}

export function writeResult(file, result) {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${JSON.stringify(result, null, 1)}\n`);
}

export function sayWritten(file) {
  console.log(`\nwritten to ${relative(process.cwd(), file)}`);
}

export function today() {
  return new Date().toISOString().slice(0, 10);
}
