import { ConfigError } from '@vwn/core';
import { parse as parseYaml } from 'yaml';

type Json = Record<string, unknown>;

/**
 * A copy of a configuration with `key=value` settings put in; keys are dotted paths, values are YAML
 * (`train.learning_rate=1e-3`, `model.virtual_width={m: 4, n: 8}`, `model.virtual_width=null` removes it).
 * @throws ConfigError for a setting without `=`, or a path through something that is not a section
 */
export function applyOverrides(config: unknown, overrides: readonly string[]): unknown {
  const copy = structuredClone(config);
  for (const setting of overrides) {
    const at = setting.indexOf('=');
    if (at < 1)
      throw new ConfigError(`cannot read the setting "${setting}"`, {
        expected: 'key=value, e.g. train.max_steps=100',
      });
    setPath(copy, setting.slice(0, at).trim().split('.'), parseValue(setting.slice(at + 1)), setting);
  }
  return copy;
}

/** YAML reads 1e-3 as text; people mean the number. */
function parseValue(text: string): unknown {
  const value: unknown = parseYaml(text);
  const isNumber = typeof value === 'string' && value.trim() !== '' && Number.isFinite(Number(value));
  return isNumber ? Number(value) : value;
}

function setPath(root: unknown, path: readonly string[], value: unknown, setting: string): void {
  let section = root as Json;
  for (const key of path.slice(0, -1)) {
    section[key] ??= {};
    section = section[key] as Json;
    if (section === null || typeof section !== 'object')
      throw new ConfigError(`the setting "${setting}" goes through ${key}, which is not a section`);
  }
  section[path.at(-1) as string] = value;
}
