/** Straightforward float64 versions of the transformer's operations, to hold the kernels against. */
export function linearReference(x: number[][], weight: number[][]): number[][] {
  return x.map((row) => weight.map((w) => dot(row, w)));
}

export function rmsReference(x: number[], weight: number[], eps: number): number[] {
  const scale = 1 / Math.sqrt(dot(x, x) / x.length + eps);
  return x.map((value, i) => value * scale * (weight[i] as number));
}

export function layerReference(x: number[], weight: number[], bias: number[], eps: number): number[] {
  const mean = x.reduce((a, b) => a + b, 0) / x.length;
  const centred = x.map((value) => value - mean);
  return rmsReference(centred, weight, eps).map((value, i) => value + (bias[i] as number));
}

/** One query head: q [T][d], k and v [S][d]. */
export function attentionReference(q: number[][], k: number[][], v: number[][]): number[][] {
  const [T, S, d] = [q.length, k.length, (q[0] as number[]).length];
  return q.map((query, t) => {
    const visible = S - T + t + 1;
    const scores = k.slice(0, visible).map((key) => dot(query, key) / Math.sqrt(d));
    const largest = Math.max(...scores);
    const weights = scores.map((score) => Math.exp(score - largest));
    const total = weights.reduce((a, b) => a + b, 0);
    return Array.from({ length: d }, (_, i) =>
      weights.reduce((sum, w, s) => sum + (w / total) * ((v[s] as number[])[i] as number), 0),
    );
  });
}

/** One head vector at a position: pairs (i, i + d/2) as complex numbers times e^(i·angle). */
export function rotaryReference(x: number[], position: number, theta: number): number[] {
  const half = x.length / 2;
  const out = [...x];
  for (let i = 0; i < half; i++) {
    const angle = position * theta ** ((-2 * i) / x.length);
    const [a, b] = [x[i] as number, x[i + half] as number];
    out[i] = a * Math.cos(angle) - b * Math.sin(angle);
    out[i + half] = a * Math.sin(angle) + b * Math.cos(angle);
  }
  return out;
}

export function crossEntropyReference(hidden: number[], weight: number[][], target: number): number {
  const logits = weight.map((row) => dot(hidden, row));
  const largest = Math.max(...logits);
  return (
    Math.log(logits.reduce((sum, each) => sum + Math.exp(each - largest), 0)) + largest - (logits[target] as number)
  );
}

function dot(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, value, i) => sum + value * (b[i] as number), 0);
}
