import { ConfigError } from '@vwn/core';
import { parse as parseYaml } from 'yaml';

type Json = Record<string, unknown>;

/**
 * A copy of a configuration with `key=value` settings put in; keys are dotted paths, values are YAML
 * (`train.learning_rate=1e-3`, `model.virtual_width={m: 4, n: 8}`, `model.virtual_width=null` removes it).
 * @throws ConfigError for a setting without `=`, a value that is not YAML, or a path through something that is not a section
 */
export function applyOverrides(config: unknown, overrides: readonly string[]): unknown {
  const copy = structuredClone(config) ?? {}; // YAML reads an empty file as null
  for (const setting of overrides) {
    const at = setting.indexOf('=');
    if (at < 1)
      throw new ConfigError(`cannot read the setting "${setting}"`, {
        expected: 'key=value, e.g. train.max_steps=100',
      });
    setPath(copy, setting.slice(0, at).trim().split('.'), parseValue(setting.slice(at + 1), setting), setting);
  }
  return copy;
}

/** YAML reads 1e-3 as text; people mean the number. */
function parseValue(text: string, setting: string): unknown {
  const value = parseSetting(text, setting);
  const isNumber = typeof value === 'string' && value.trim() !== '' && Number.isFinite(Number(value));
  return isNumber ? Number(value) : value;
}

function parseSetting(text: string, setting: string): unknown {
  try {
    return parseYaml(text);
  } catch (cause) {
    throw new ConfigError(`the value of the setting "${setting}" is not valid YAML`, {
      got: cause instanceof Error ? cause.message.trim() : String(cause),
      hint: 'Put text with special characters into quotes',
      cause,
    });
  }
}

function setPath(root: unknown, path: readonly string[], value: unknown, setting: string): void {
  if (path.includes('__proto__')) throw new ConfigError(`the setting "${setting}" cannot be made: no key is __proto__`);
  let section = sectionOf(root, 'the whole configuration', setting);
  for (const key of path.slice(0, -1)) {
    section[key] ??= {};
    section = sectionOf(section[key], key, setting);
  }
  section[path.at(-1) as string] = value;
}

function sectionOf(value: unknown, name: string, setting: string): Json {
  if (value !== null && typeof value === 'object') return value as Json;
  throw new ConfigError(`the setting "${setting}" goes through ${name}, which is not a section`);
}
