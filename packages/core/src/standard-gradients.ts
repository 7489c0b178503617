/**
 * Gradients of standard TensorFlow.js ops. In Node, `@tensorflow/tfjs-core` by itself registers none (they come with the
 * `@tensorflow/tfjs` union package, or from a path that only bundlers can resolve). Those that models built from these
 * packages put on the tape are registered here, and only where nothing has registered one before.
 */
import {
  cast,
  clone,
  div,
  exp,
  getGradient,
  greater,
  matMul,
  mul,
  neg,
  ones,
  pad,
  registerGradient,
  reshape,
  split,
  square,
  sub,
  sum,
  transpose,
  type GradConfig,
  type NamedAttrMap,
  type Tensor,
} from '@tensorflow/tfjs-core';

type Gradient = (dy: Tensor, saved: Tensor[], attrs: NamedAttrMap) => Record<string, () => Tensor>;

let registered = false;

/** Registers what is missing, once. */
export function registerStandardGradients(): void {
  if (registered) return;
  registered = true;
  for (const config of standardGradients()) if (!getGradient(config.kernelName)) registerGradient(config);
}

function define(kernelName: string, gradient: Gradient, saves: Partial<GradConfig> = {}): GradConfig {
  return { kernelName, ...saves, gradFunc: (dy, saved, attrs) => gradient(dy as Tensor, saved, attrs) };
}

/** Sums a gradient back to the shape that was broadcast to it. */
function unbroadcast(dy: Tensor, shape: number[]): Tensor {
  const lead = dy.rank - shape.length;
  const axes = dy.shape.map((_, i) => i).filter((i) => i < lead || (shape[i - lead] === 1 && dy.shape[i] !== 1));
  return reshape(axes.length > 0 ? sum(dy, axes) : dy, shape);
}

/** Both inputs of a binary op, with the gradient of each before un-broadcasting. */
function binary(
  name: string,
  da: (dy: Tensor, a: Tensor, b: Tensor) => Tensor,
  db: (dy: Tensor, a: Tensor, b: Tensor) => Tensor,
): GradConfig {
  const gradient: Gradient = (dy, [a, b]) => ({
    a: () => unbroadcast(da(dy, a as Tensor, b as Tensor), (a as Tensor).shape),
    b: () => unbroadcast(db(dy, a as Tensor, b as Tensor), (b as Tensor).shape),
  });
  return define(name, gradient, { inputsToSave: ['a', 'b'] });
}

/** An elementwise op whose derivative is known from its input x. */
function ofInput(name: string, derivative: (x: Tensor) => Tensor): GradConfig {
  return define(name, (dy, [x]) => ({ x: () => mul(dy, derivative(x as Tensor)) }), { inputsToSave: ['x'] });
}

/** An elementwise op whose derivative is known from its output y. */
function ofOutput(name: string, derivative: (y: Tensor) => Tensor): GradConfig {
  return define(name, (dy, [y]) => ({ x: () => mul(dy, derivative(y as Tensor)) }), { outputsToSave: [true] });
}

function standardGradients(): GradConfig[] {
  return [...elementwise(), ...shaping(), ...reductions(), matrixProduct()];
}

// Gradients that equal dy are clones of it: the engine disposes of what it adds up.
function elementwise(): GradConfig[] {
  return [
    binary(
      'Add',
      (dy) => dy,
      (dy) => dy,
    ),
    binary(
      'Sub',
      (dy) => dy,
      (dy) => neg(dy),
    ),
    binary(
      'Multiply',
      (dy, _a, b) => mul(dy, b),
      (dy, a) => mul(dy, a),
    ),
    binary(
      'RealDiv',
      (dy, _a, b) => div(dy, b),
      (dy, a, b) => neg(div(mul(dy, a), square(b))),
    ),
    define('Neg', (dy) => ({ x: () => neg(dy) })),
    define('Identity', (dy) => ({ x: () => clone(dy) })),
    define('Cast', (dy) => ({ x: () => cast(dy, 'float32') })),
    define('AddN', (dy, saved) => Object.fromEntries(saved.map((_, i) => [i, () => clone(dy)])), {
      saveAllInputs: true,
    }),
    ofInput('Square', (x) => mul(x, 2)),
    ofInput('Log', (x) => div(1, x)),
    ofInput('Relu', (x) => cast(greater(x, 0), 'float32')),
    ofOutput('Exp', (y) => y),
    ofOutput('Sqrt', (y) => div(0.5, y)),
    ofOutput('Rsqrt', (y) => mul(-0.5, mul(y, square(y)))),
    ofOutput('Tanh', (y) => sub(1, square(y))),
    ofOutput('Sigmoid', (y) => mul(y, sub(1, y))),
    define(
      'Softmax',
      (dy, [y]) => ({
        logits: () => {
          const weighted = mul(dy, y as Tensor);
          return sub(weighted, mul(sum(weighted, -1, true), y as Tensor));
        },
      }),
      { outputsToSave: [true] },
    ),
    define('LogSoftmax', (dy, [y]) => ({ logits: () => sub(dy, mul(sum(dy, -1, true), exp(y as Tensor))) }), {
      outputsToSave: [true],
    }),
  ];
}

function shaping(): GradConfig[] {
  const sameShape: Partial<GradConfig> = { inputsToSave: ['x'] };
  const inverse = (order: number[]) => order.map((_, axis) => order.indexOf(axis));
  return [
    define('Reshape', (dy, [x]) => ({ x: () => reshape(dy, (x as Tensor).shape) }), sameShape),
    define('ExpandDims', (dy, [input]) => ({ input: () => reshape(dy, (input as Tensor).shape) }), {
      inputsToSave: ['input'],
    }),
    define('Transpose', (dy, _saved, { perm }) => ({ x: () => transpose(dy, inverse(perm as number[])) })),
    define('Concat', concatGradient, { saveAllInputs: true }),
    define(
      'Slice',
      (dy, [x], { begin }) => ({
        x: () =>
          pad(
            dy,
            dy.shape.map((size, i) => sliceMargins(x as Tensor, [begin].flat() as number[], size, i)),
          ),
      }),
      sameShape,
    ),
  ];
}

/** tfjs takes a number for the first axis alone, and begins at 0 along axes that `begins` does not reach. */
function sliceMargins(x: Tensor, begins: readonly number[], size: number, axis: number): [number, number] {
  const begin = begins[axis] ?? 0;
  return [begin, (x.shape[axis] as number) - begin - size];
}

function concatGradient(dy: Tensor, saved: Tensor[], attrs: NamedAttrMap): Record<string, () => Tensor> {
  const axis = ((attrs.axis as number) + dy.rank) % dy.rank;
  const parts = split(
    dy,
    saved.map((each) => each.shape[axis] as number),
    axis,
  );
  return Object.fromEntries(parts.map((part, i) => [i, () => part]));
}

function reductions(): GradConfig[] {
  /** dy with the reduced axes put back as ones, times ones of x's shape. */
  const spread = (dy: Tensor, x: Tensor, axis: unknown) => {
    const axes = (axis === undefined || axis === null ? x.shape.map((_, i) => i) : [axis].flat()) as number[];
    const reduced = new Set(axes.map((each) => (each + x.rank) % x.rank));
    return mul(
      reshape(
        dy,
        x.shape.map((size, i) => (reduced.has(i) ? 1 : size)),
      ),
      ones(x.shape),
    );
  };
  return [
    define('Sum', (dy, [x], { axis }) => ({ x: () => spread(dy, x as Tensor, axis) }), { inputsToSave: ['x'] }),
    define(
      'Mean',
      (dy, [x], { axis }) => ({ x: () => div(spread(dy, x as Tensor, axis), (x as Tensor).size / dy.size) }),
      { inputsToSave: ['x'] },
    ),
  ];
}

function matrixProduct(): GradConfig {
  const gradient: Gradient = (dy, [a, b], attrs) => {
    const [A, B] = [a as Tensor, b as Tensor];
    const { transposeA, transposeB } = attrs as { transposeA: boolean; transposeB: boolean };
    return {
      a: () => unbroadcast(transposeA ? matMul(B, dy, transposeB, true) : matMul(dy, B, false, !transposeB), A.shape),
      b: () => unbroadcast(transposeB ? matMul(dy, A, true, transposeA) : matMul(A, dy, !transposeA, false), B.shape),
    };
  };
  return define('BatchMatMul', gradient, { inputsToSave: ['a', 'b'] });
}
