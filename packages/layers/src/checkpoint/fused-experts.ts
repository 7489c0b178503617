import { CheckpointError } from '@vwn/core';
import type { StoredTensor } from '../parameters';

const fused = /^(.*)\.(?:mlp|block_sparse_moe)\.experts\.(gate_up_proj|down_proj)$/;
const router = /^(.*)\.mlp\.gate\.weight$/;

/**
 * Mixtral's experts as transformers 5 holds them in memory, and may store them: all in one tensor,
 * `gate_up_proj` [E, 2I, D] (gate first) and `down_proj` [E, D, I]. Gives them the names of single experts; other
 * tensors stay as they are.
 */
export function splitFusedExperts(tensors: ReadonlyMap<string, StoredTensor>): Map<string, StoredTensor> {
  const result = new Map<string, StoredTensor>();
  for (const [name, tensor] of tensors) {
    const match = fused.exec(name);
    const gate = router.exec(name);
    if (gate) result.set(`${gate[1]}.block_sparse_moe.gate.weight`, tensor);
    else if (!match) result.set(name, tensor);
    else
      for (const [expert, part] of split(name, match[1] as string, match[2] as string, tensor))
        result.set(expert, part);
  }
  return result;
}

function* split(
  name: string,
  layer: string,
  kind: string,
  { shape, values }: StoredTensor,
): Generator<[string, StoredTensor]> {
  const [experts, rows, columns] = shape;
  if (
    experts === undefined ||
    rows === undefined ||
    columns === undefined ||
    (kind === 'gate_up_proj' && rows % 2 !== 0)
  )
    throw new CheckpointError(`tensor ${name} has the wrong shape`, {
      expected: '[experts, rows, columns]',
      got: `[${shape.join(', ')}]`,
    });
  for (let e = 0; e < experts; e++) {
    const base = `${layer}.block_sparse_moe.experts.${e}`;
    const matrix = values.subarray(e * rows * columns, (e + 1) * rows * columns);
    if (kind === 'down_proj') yield [`${base}.w2.weight`, { shape: [rows, columns], values: matrix }];
    else {
      const half = { shape: [rows / 2, columns] };
      yield [`${base}.w1.weight`, { ...half, values: matrix.subarray(0, matrix.length / 2) }];
      yield [`${base}.w3.weight`, { ...half, values: matrix.subarray(matrix.length / 2) }];
    }
  }
}
