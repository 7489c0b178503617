/** Which expert gets which token, as index lists. N tokens, E experts, k experts a token. */
export interface Routing {
  /** For each expert the tokens that it gets, in order. */
  readonly tokensOfExpert: readonly Int32Array[];
  /** token·E + expert of every row, all rows of expert 0 first, then those of expert 1 …, [N·k]. */
  readonly pairs: Int32Array;
  /** For each token its k rows in that order, [N·k]. */
  readonly rowOfToken: Int32Array;
  /** 1 where token i goes to expert e, [N, E]. */
  readonly chosen: Float32Array;
}

/** Routes every token to its k likeliest experts; of equally likely ones the first. probabilities [N, E]. */
export function routeTokens(probabilities: Float32Array, experts: number, k: number): Routing {
  const tokens = probabilities.length / experts;
  const chosen = new Float32Array(probabilities.length);
  const lists = Array.from({ length: experts }, () => [] as number[]);
  for (let token = 0; token < tokens; token++)
    for (const expert of likeliest(probabilities, token * experts, experts, k)) {
      chosen[token * experts + expert] = 1;
      (lists[expert] as number[]).push(token);
    }
  const pairs = new Int32Array(tokens * k);
  const rowOfToken = new Int32Array(tokens * k);
  const filled = new Uint8Array(tokens);
  let row = 0;
  lists.forEach((list, expert) => {
    for (const token of list) {
      pairs[row] = token * experts + expert;
      const slot = filled[token] as number;
      rowOfToken[token * k + slot] = row++;
      filled[token] = slot + 1;
    }
  });
  return { tokensOfExpert: lists.map((list) => Int32Array.from(list)), pairs, rowOfToken, chosen };
}

function likeliest(values: Float32Array, start: number, count: number, k: number): number[] {
  const order = Array.from({ length: count }, (_, i) => i);
  const at = (i: number) => values[start + i] as number;
  return order.sort((a, b) => at(b) - at(a) || a - b).slice(0, k);
}
