import { escapeHtml } from './chart';

/** A self-contained HTML page: no script, no font, no picture from elsewhere. `sections` are HTML. */
export function page(title: string, sections: readonly string[]): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
<style>
  :root { color-scheme: light dark; --ink: #1c2330; --paper: #fff; --soft: #dfe4ec; }
  @media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --paper: #15181e; --soft: #333a46; } }
  body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 820px; margin: 2rem auto; padding: 0 1rem; }
  svg { width: 100%; height: auto; font: 12px system-ui, sans-serif; fill: var(--ink); }
  svg .title { font-size: 14px; font-weight: 600; } svg .grid { stroke: var(--soft); }
  table { border-collapse: collapse; margin: 1rem 0; } td, th { padding: .3rem .9rem .3rem 0; text-align: right; border-bottom: 1px solid var(--soft); }
  td:first-child, th:first-child { text-align: left; }
  pre { white-space: pre-wrap; background: var(--soft); padding: .8rem; border-radius: 6px; }
</style>
</head>
<body>
<h1>${escapeHtml(title)}</h1>
${sections.join('\n')}
</body>
</html>
`;
}

export function htmlTable(rows: readonly (readonly string[])[]): string {
  const [head = [], ...body] = rows;
  const cells = (row: readonly string[], tag: string) =>
    row.map((cell) => `<${tag}>${escapeHtml(cell)}</${tag}>`).join('');
  return `<table><thead><tr>${cells(head, 'th')}</tr></thead><tbody>${body.map((row) => `<tr>${cells(row, 'td')}</tr>`).join('')}</tbody></table>`;
}
