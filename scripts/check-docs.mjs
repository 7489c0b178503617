/**
 * Runs the code of the documentation. In README.md files and docs/:
 * - ```ts and ```js blocks run as modules, resolved from the package whose README it is (docs/ and the root README:
 *   from the CLI, which sees every package). A block that begins with `// continues` is appended to the one before.
 * - a block with `title="name"` becomes a file of that name for the commands of its document.
 * - ```bash blocks: `npx vwn …` lines run, in order, in one temporary folder per document; lines of the kinds listed in
 *   `elsewhere` are exercised by other checks; any other line is an error, so that no command goes untested unnoticed.
 */
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { transformSync } from 'esbuild';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const elsewhere = [
  /^#/,
  /^git clone /,
  /^cd /,
  /^npm (install|i) /,
  /^npm (run quickstart|test)$/,
  /^npx vwn (quickstart|backend install)/,
  /^npx vwn@/,
  /^node (scripts|bench|packages\/kernels\/tfjs-suite)\//,
  /^npx --yes pnpm@10 /,
  /^python3? .*scripts\//,
];

const only = process.argv.slice(2);
const documents = listDocuments().filter((file) => only.length === 0 || only.includes(file));
let failures = 0;
for (const file of documents) checkDocument(file);
process.stdout.write(`  ${documents.length} documents, ${failures} failures\n`);
process.exit(failures === 0 ? 0 : 1);

function listDocuments() {
  const docs = readdirSync(join(root, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`);
  const readmes = ['packages', 'apps', 'examples'].flatMap((parent) =>
    readdirSync(join(root, parent)).map((name) => `${parent}/${name}/README.md`),
  );
  return ['README.md', ...docs, ...readmes].filter((file) => existsSync(join(root, file)));
}

function checkDocument(file) {
  const blocks = [...readFileSync(join(root, file), 'utf8').matchAll(/^```(\w+)([^\n]*)\n([\s\S]*?)^```/gm)];
  const cwd = mkdtempSync(join(tmpdir(), 'vwn-docs-'));
  for (const shared of ['examples', 'README.md']) symlinkSync(join(root, shared), join(cwd, shared));
  let count = 0;
  for (const code of joinModules(blocks)) {
    runModule(file, code, cwd, ++count);
  }
  for (const [, , attributes, code] of blocks) writeTitled(attributes, code, cwd);
  for (const [, language, , code] of blocks) if (language === 'bash') count += runShell(file, code, cwd);
  rmSync(cwd, { recursive: true, force: true });
  if (count > 0) process.stdout.write(`  ${file}: ${count} examples\n`);
}

/** A block with `title="name"` is a file that the commands beside it use. */
function writeTitled(attributes, code, cwd) {
  const name = /title="([^"/]+)"/.exec(attributes)?.[1];
  if (name) writeFileSync(join(cwd, name), code);
}

function joinModules(blocks) {
  const modules = [];
  for (const [, language, , code] of blocks) {
    if (language !== 'ts' && language !== 'js') continue;
    if (code.startsWith('// continues') && modules.length > 0) modules.push(modules.pop() + code);
    else modules.push(code);
  }
  return modules;
}

function runModule(file, code, cwd, index) {
  const scope = /^(packages|examples)\//.test(file) ? dirname(file) : 'apps/cli';
  const folder = join(root, scope, '.cache', 'docs');
  mkdirSync(folder, { recursive: true });
  const target = join(folder, `${file.replace(/\W/g, '-')}-${index}.mjs`);
  writeFileSync(target, transformSync(code, { loader: 'ts', format: 'esm' }).code);
  report(`${file} (code block ${index})`, spawnSync(process.execPath, [target], { cwd, encoding: 'utf8' }));
}

function runShell(file, block, cwd) {
  let count = 0;
  for (const line of block
    .replaceAll('\\\n', ' ')
    .split('\n')
    .map((each) => each.trim())) {
    if (line === '' || elsewhere.some((pattern) => pattern.test(line))) continue;
    if (!line.startsWith('npx vwn ')) {
      report(`${file}: \`${line}\` is a kind of command that no check runs`, { status: 1 });
      continue;
    }
    count++;
    const command = line.replace(
      /npx vwn /g,
      `"${process.execPath}" "${relative(cwd, join(root, 'apps/cli/bin/vwn.js'))}" `,
    );
    report(`${file}: ${line}`, spawnSync('bash', ['-euo', 'pipefail', '-c', command], { cwd, encoding: 'utf8' }));
  }
  return count;
}

function report(what, { status, stdout = '', stderr = '' }) {
  if (status === 0) return;
  failures++;
  process.stderr.write(`failed: ${what}\n${stdout}${stderr}\n`);
}
