import type { Tensor } from '@tensorflow/tfjs-core';

/**
 * Names of those parameters whose experts got no token. Their gradients are zeros here and absent in PyTorch, where an
 * optimizer leaves such a parameter alone, without decay: so should an update. `shares` [layers with experts, E], in the
 * order in which the layers' parameters stand among `names`. Reads `shares` back: best after the backward pass.
 */
export function unreachedExperts(names: readonly string[], shares: Tensor): Set<string> {
  const [values, experts] = [shares.dataSync(), shares.shape[1] as number];
  const layers: string[] = [];
  const unreached = new Set<string>();
  for (const name of names) {
    const [, layer, expert] = /^(.*\.experts)\.(\d+)\./.exec(name) ?? [];
    if (layer === undefined) continue;
    if (!layers.includes(layer)) layers.push(layer);
    if (values[layers.indexOf(layer) * experts + Number(expert)] === 0) unreached.add(name);
  }
  return unreached;
}
