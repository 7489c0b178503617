const string = /"[^"\\]*(?:\\.[^"\\]*)*"/y;
const colon = /\s*:/y;

/**
 * The first key that some object of a JSON text holds twice. `JSON.parse` silently keeps the last, which for a file's
 * table of contents means bytes that belong to something else. The text must be valid JSON.
 */
export function repeatedKey(json: string): string | undefined {
  const open: (Set<string> | undefined)[] = [];
  for (let i = 0; i < json.length;) {
    const sign = json[i];
    if (sign !== '"') {
      if (sign === '{') open.push(new Set());
      else if (sign === '[') open.push(undefined);
      else if (sign === '}' || sign === ']') open.pop();
      i++;
      continue;
    }
    string.lastIndex = i;
    const text = string.exec(json)?.[0] ?? '"';
    i += text.length;
    colon.lastIndex = i;
    if (!colon.test(json)) continue;
    const key = JSON.parse(text) as string;
    const keys = open.at(-1);
    if (keys?.has(key)) return key;
    keys?.add(key);
  }
  return undefined;
}
