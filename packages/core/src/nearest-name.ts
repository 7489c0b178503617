/** The name that a misspelt one most likely stands for; undefined where none is near. Case, `_` and `-` make no difference. */
export function nearestName(misspelt: string, names: readonly string[]): string | undefined {
  const plain = letters(misspelt);
  const mostEdits = Math.floor(plain.length / 4);
  const ranked = names.map((name) => ({ name, edits: editDistance(plain, letters(name)) }));
  return ranked.filter(({ edits }) => edits <= mostEdits).sort((a, b) => a.edits - b.edits)[0]?.name;
}

function letters(name: string): string {
  return name.toLowerCase().replace(/[^a-z0-9]/g, '');
}

/** Levenshtein's: how many letters must be put in, taken out or replaced. */
function editDistance(a: string, b: string): number {
  let above = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (above[j - 1] as number) + Number(a[i - 1] !== b[j - 1]);
      row.push(Math.min(replaced, (above[j] as number) + 1, (row[j - 1] as number) + 1));
    }
    above = row;
  }
  return above[b.length] as number;
}
