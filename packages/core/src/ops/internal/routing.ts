/** Which expert gets which token, as index lists. N tokens, E experts, k experts a token, R = N·k rows. */
export interface Routing {
  /** Token of each row, [R]: the rows of expert 0 first, then those of expert 1 …; an expert's tokens in order. */
  readonly tokens: Int32Array;
  /** For each token its k rows, [N, k]. */
  readonly rows: Int32Array;
  /** Rows of expert e begin at offsets[e] and end before offsets[e + 1], [E + 1]. */
  readonly offsets: Int32Array;
}

/** Routes every token to its k likeliest experts; of equally likely ones the first. probabilities [N, E]. */
export function routingOf(probabilities: Float32Array, experts: number, k: number): Routing {
  const count = probabilities.length / experts;
  const lists = Array.from({ length: experts }, () => [] as number[]);
  for (let token = 0; token < count; token++)
    for (const expert of likeliest(probabilities, token * experts, experts, k)) (lists[expert] as number[]).push(token);
  const offsets = new Int32Array(experts + 1);
  lists.forEach(({ length }, expert) => (offsets[expert + 1] = (offsets[expert] as number) + length));
  const tokens = Int32Array.from(lists.flat());
  const rows = new Int32Array(tokens.length);
  const filled = new Uint32Array(count);
  tokens.forEach((token, row) => (rows[token * k + (filled[token] as number)++] = row));
  return { tokens, rows, offsets };
}

/** token·E + expert of every row. */
export function pairsOf({ tokens, offsets }: Pick<Routing, 'tokens' | 'offsets'>): Int32Array {
  const experts = offsets.length - 1;
  let expert = 0;
  return tokens.map((token, row) => {
    while (row >= (offsets[expert + 1] as number)) expert++;
    return token * experts + expert;
  });
}

function likeliest(values: Float32Array, start: number, count: number, k: number): number[] {
  const order = Array.from({ length: count }, (_, i) => i);
  const at = (i: number) => values[start + i] as number;
  return order.sort((a, b) => at(b) - at(a) || a - b).slice(0, k);
}
