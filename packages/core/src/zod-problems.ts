import type { z } from 'zod';

/** One line a problem: the field's path, what is wrong with it, what was found. Any package's schema can be read so. */
export function describeIssues(error: z.ZodError, input: unknown): string[] {
  return error.issues.map((issue) => {
    const path = issue.path.map(String).join('.');
    if (issue.code === 'unrecognized_keys') {
      const known = 'nothing of that name is known here';
      return issue.keys.map((key) => `${[path, key].filter(Boolean).join('.')}: ${known}`).join('\n');
    }
    const found = at(input, issue.path);
    const got = found === undefined ? 'it is missing' : `got ${brief(found)}`;
    return `${path || 'the whole'}: ${expectation(issue)}, ${got}`;
  });
}

function expectation(issue: z.core.$ZodIssue): string {
  if (issue.code === 'invalid_type') return `expected ${article(issue.expected)}`;
  if (issue.code === 'invalid_value')
    return `expected ${issue.values.map((value) => JSON.stringify(value)).join(' or ')}`;
  if (issue.code === 'too_small')
    return `expected ${issue.inclusive ? 'at least' : 'more than'} ${String(issue.minimum)}`;
  if (issue.code === 'too_big') return `expected ${issue.inclusive ? 'at most' : 'less than'} ${String(issue.maximum)}`;
  if (issue.code === 'invalid_union') {
    const choices = issue.errors.flatMap(([first]) => (first ? [expectation(first).replace(/^expected /, '')] : []));
    if (choices.length > 0) return `expected ${[...new Set(choices)].join(', or ')}`;
  }
  return issue.message.charAt(0).toLowerCase() + issue.message.slice(1);
}

function article(type: string): string {
  const names: Record<string, string> = {
    int: 'a whole number',
    number: 'a number',
    string: 'a text',
    boolean: 'true or false',
  };
  return names[type] ?? `${/^[aeiou]/.test(type) ? 'an' : 'a'} ${type}`;
}

function at(input: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((value, key) => (value as Record<PropertyKey, unknown> | undefined)?.[key], input);
}

function brief(value: unknown): string {
  // In JSON, NaN and Infinity would be null.
  const text = typeof value === 'number' ? String(value) : (JSON.stringify(value) ?? String(value));
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}
