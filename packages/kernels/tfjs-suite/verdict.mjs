/** Failing specs against the list of those that may fail. */
import { readFileSync } from 'node:fs';

/** @returns a map from a spec's full name to the reason why it may fail */
export function readExceptions(file) {
  if (!file) return new Map();
  let list;
  try {
    list = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new Error(`The list of exceptions cannot be read: ${error.message}. Correct ${file}, or --exceptions`, {
      cause: error,
    });
  }
  if (!Array.isArray(list)) throw wrongEntry(file, 'it is not a list', list);
  const exceptions = new Map();
  for (const entry of list) {
    const { spec, reason } = entry ?? {};
    if (!isText(spec) || !isText(reason)) throw wrongEntry(file, 'an entry lacks its spec or reason', entry);
    if (exceptions.has(spec)) throw wrongEntry(file, 'a spec is listed twice', entry);
    exceptions.set(spec, reason);
  }
  return exceptions;
}

const isText = (value) => typeof value === 'string' && value.trim() !== '';

function wrongEntry(file, what, got) {
  return new Error(
    `${file}: ${what}: ${JSON.stringify(got)?.slice(0, 300)}. ` +
      'Expected a list of {"spec": full name of the spec, "reason": why it may fail}, each spec once',
  );
}

/** tfjs uses some names for several specs; an exception is for all of them, and needed if one of them fails. */
export function judge({ specs, suiteFailures }, exceptions, filter = '') {
  const ran = specs.filter(({ status }) => status !== 'excluded');
  if (ran.length === 0)
    throw new Error(`No spec's name contains '${filter}'. Names look like '${specs.at(-1)?.name}': correct --filter`);
  const failed = ran.filter(({ status }) => status === 'failed');
  const names = new Set(specs.map(({ name }) => name));
  const failedNames = new Set(failed.map(({ name }) => name));
  const listed = [...exceptions.keys()].filter((name) => name.includes(filter));

  const unexpected = failed.filter(({ name }) => !exceptions.has(name));
  const unknown = listed.filter((name) => !names.has(name));
  const needless = listed.filter((name) => names.has(name) && !failedNames.has(name));
  return {
    count: ran.length,
    passedCount: ran.filter(({ status }) => status === 'passed').length,
    pendingCount: ran.filter(({ status }) => status === 'pending').length,
    exceptedCount: failed.length - unexpected.length,
    unexpected,
    unknown,
    needless,
    suiteFailures,
    passed: [unexpected, unknown, needless, suiteFailures].every(({ length }) => length === 0),
  };
}

/** Everything that is wrong, then one line of numbers. */
export function describeVerdict(verdict, { name, seconds, verbose }) {
  const message = (text) => (verbose ? text : text.split('\n')[0]).slice(0, verbose ? undefined : 300);
  const failures = (list) =>
    list.map(({ name: spec, messages }) => [spec, ...messages.map((text) => `    ${message(text)}`)].join('\n'));
  const sections = [
    [
      'Failed, and not among the exceptions (correct the backend, or list them with a reason):',
      failures(verdict.unexpected),
    ],
    ['Failed outside a spec, which cannot be excepted:', failures(verdict.suiteFailures)],
    ['Listed as exceptions, but passed (take them off the list):', verdict.needless],
    ['Listed as exceptions, but no such spec exists for this backend (correct the names):', verdict.unknown],
  ];
  const problems = sections
    .filter(([, lines]) => lines.length > 0)
    .map(([title, lines]) => `${title}\n${lines.map((line) => `  ${line.replaceAll('\n', '\n  ')}`).join('\n')}\n\n`);
  const pending = verdict.pendingCount > 0 ? `, ${verdict.pendingCount} pending` : '';
  return (
    `${problems.join('')}${verdict.count} specs on ${name}: ${verdict.passedCount} passed, ` +
    `${verdict.unexpected.length} failed, ${verdict.exceptedCount} excepted${pending} in ${seconds.toFixed(1)} s\n`
  );
}
