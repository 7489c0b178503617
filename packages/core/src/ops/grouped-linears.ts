import { add, concat, slice, zeros, type Tensor } from '@tensorflow/tfjs-core';
import { ShapeError } from '../errors';
import { defineKernel } from '../kernel';
import { KernelName } from '../kernel-names';
import { matmul } from './internal/matmul';
import { lastOf, requireFloats, requireInteger, requireShape } from './internal/shapes';

/** Inputs of the kernels, by number: offsets, x, then the weights set by set, then (of the gradient) a dy for each set. */
type Inputs = Record<string, Tensor>;

const numbered = (tensors: readonly Tensor[]): Inputs => Object.fromEntries(tensors.entries());

const indices = (count: number) => Array.from({ length: count }, (_, i) => i);

function partsOf(inputs: Inputs, dysOfSet: 0 | 1) {
  const [offsets, x, ...rest] = Object.values(inputs) as [Tensor, Tensor, ...Tensor[]];
  const groups = offsets.size - 1;
  const sets = rest.length / (groups + dysOfSet);
  const weights = indices(sets).map((set) => rest.slice(set * groups, (set + 1) * groups));
  return { offsets, x, weights, dys: rest.slice(sets * groups) };
}

/** First row and number of rows of each group. @throws ShapeError */
function groupsOf(offsets: Tensor, rows: number): readonly (readonly [from: number, count: number])[] {
  const at = [...offsets.dataSync()];
  const counts = at.slice(1).map((end, e) => end - (at[e] as number));
  if (at[0] === 0 && at.at(-1) === rows && counts.every((count) => count >= 0))
    return counts.map((count, e) => [at[e] as number, count]);
  throw new ShapeError('groupedLinears: offsets do not share out the rows of x', {
    expected: `numbers that rise from 0 to ${rows}`,
    got: at.join(', '),
    hint: 'Rows must be sorted by group; offsets[e] is the first row of group e, the last offset their number',
  });
}

const rowsOf = (x: Tensor, [from, count]: readonly [number, number]) => slice(x, [from, 0], [count, lastOf(x)]);

/** [R, width] from each group's rows. */
function together(groups: ReturnType<typeof groupsOf>, width: number, of: (e: number) => Tensor): Tensor {
  const parts = groups.flatMap(([, count], e) => (count === 0 ? [] : [of(e)]));
  return parts.length === 0 ? zeros([0, width]) : concat(parts, 0);
}

function products(inputs: Inputs): Tensor[] {
  const { offsets, x, weights } = partsOf(inputs, 0);
  const groups = groupsOf(offsets, x.shape[0] as number);
  return weights.map((set) =>
    together(groups, set[0]?.shape[0] ?? 0, (e) =>
      matmul(rowsOf(x, groups[e] as [number, number]), set[e] as Tensor, false, true),
    ),
  );
}

function gradients(inputs: Inputs): Tensor[] {
  const { offsets, x, weights, dys } = partsOf(inputs, 1);
  const groups = groupsOf(offsets, x.shape[0] as number);
  const dx = together(groups, lastOf(x), (e) =>
    dys
      .map((dy, set) => matmul(rowsOf(dy, groups[e] as [number, number]), weights[set]?.[e] as Tensor))
      .reduce((sum, each) => add(sum, each)),
  );
  const dWeights = weights.flatMap((set, i) =>
    set.map(({ shape }, e) => {
      const group = groups[e] as [number, number];
      return group[1] === 0 ? zeros(shape) : matmul(rowsOf(dys[i] as Tensor, group), rowsOf(x, group), true, false);
    }),
  );
  return [dx, ...dWeights];
}

const gradKernel = defineKernel<string, object>({ name: KernelName.GroupedLinearGrad, composed: gradients });

const kernel = defineKernel<string, object>({
  name: KernelName.GroupedLinear,
  composed: products,
  gradient: {
    backward: (dys, inputs) => {
      const grads = gradKernel(numbered([...Object.values(inputs), ...dys]), {});
      return Object.fromEntries(grads.map((grad, i) => [String(i + 1), grad]));
    },
  },
});

/**
 * Products of sorted rows with a weight for each group, such as those of a mixture's experts: for rows r of group e,
 * offsets[e] ≤ r < offsets[e + 1], `y_s[r] = x[r] W_{s,e}ᵀ`. x [R, in], offsets int32 [E + 1] from 0 to R, each of the
 * `sets` E weights [out_s, in] → for each set [R, out_s]. A group without rows has a gradient of zeros. Offsets stay on
 * the device where the backend has a kernel of its own.
 * @throws ShapeError; BackendError for offsets that do not share out the rows, where the backend has a kernel of its own
 */
export function groupedLinears(x: Tensor, sets: readonly (readonly Tensor[])[], offsets: Tensor): Tensor[] {
  requireFloats('groupedLinears', 'x', x, [null, null], 'Rows are sorted by group');
  requireInteger('groupedLinears', 'offsets', offsets);
  sets.forEach((weights, s) => {
    requireShape(
      'groupedLinears',
      'offsets',
      offsets,
      [weights.length + 1],
      'One more than there are weights in a set',
    );
    weights.forEach((weight, e) => {
      const out = weights[0]?.shape[0] ?? null;
      requireFloats(
        'groupedLinears',
        `sets[${s}][${e}]`,
        weight,
        [out, lastOf(x)],
        'All weights of a set are [out, in]',
      );
    });
  });
  if (offsets.size < 2 || sets.length === 0)
    throw new ShapeError('groupedLinears: there is nothing to multiply by', {
      expected: 'at least one set of at least one weight',
      got: `${sets.length} sets, ${offsets.size} offsets`,
    });
  return kernel(numbered([offsets, x, ...sets.flat()]), {});
}

/** {@link groupedLinears} of one set: weights E × [out, in] → [R, out]. @throws ShapeError */
export function groupedLinear(x: Tensor, weights: readonly Tensor[], offsets: Tensor): Tensor {
  return groupedLinears(x, [weights], offsets)[0] as Tensor;
}
