import { ConfigError, Rng, ShapeError, type Initializer } from '@vwn/core';
import { tensor, variable, type Tensor, type Variable } from '@tensorflow/tfjs-core';

export interface StoredTensor {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

export interface ParametersOptions {
  /** Each parameter's initial values come from a random stream forked from this by its name. */
  readonly seed?: number | string;
  /** Loaded values by name; they take precedence over initial values. */
  readonly values?: ReadonlyMap<string, StoredTensor>;
}

/** Where a layer gets its parameters: names below a prefix. */
export interface ParameterScope {
  /**
   * The parameter of that name, made on first use: from loaded values, else from the initialiser.
   * @throws ShapeError when loaded values have another shape; ConfigError where no array has room for so many
   */
  variable(name: string, shape: readonly number[], initializer: Initializer): Variable;
  scope(prefix: string): ParameterScope;
}

/** The named parameters of a model; the names are those of checkpoints. */
export class Parameters implements ParameterScope {
  private readonly variables = new Map<string, Variable>();
  private readonly rng: Rng;
  private readonly loaded: ReadonlyMap<string, StoredTensor>;

  constructor({ seed = 0, values = new Map() }: ParametersOptions = {}) {
    this.rng = Rng.fromSeed(seed);
    this.loaded = values;
  }

  variable(name: string, shape: readonly number[], initializer: Initializer): Variable {
    const known = this.variables.get(name);
    if (known) return requireParameterShape(name, known, shape);
    const stored = this.loaded.get(name);
    if (stored) requireParameterShape(name, stored, shape);
    const values = stored?.values ?? initialValues(name, shape, () => initializer(shape, this.rng.fork(name)));
    const initial = tensor(values, [...shape], 'float32');
    const made = variable(initial, true);
    initial.dispose();
    this.variables.set(name, made);
    return made;
  }

  scope(prefix: string): ParameterScope {
    return {
      variable: (name, shape, initializer) => this.variable(`${prefix}.${name}`, shape, initializer),
      scope: (inner) => this.scope(`${prefix}.${inner}`),
    };
  }

  entries(): [string, Variable][] {
    return [...this.variables];
  }

  get(name: string): Variable | undefined {
    return this.variables.get(name);
  }

  /** Number of scalars in all parameters. */
  count(): number {
    return this.entries().reduce((total, [, { size }]) => total + size, 0);
  }

  /** Names that were loaded but that no layer asked for. */
  unused(): string[] {
    return [...this.loaded.keys()].filter((name) => !this.variables.has(name));
  }

  dispose(): void {
    for (const each of this.variables.values()) each.dispose();
    this.variables.clear();
  }
}

/** @throws ConfigError for a shape of more elements than an array holds, which is a RangeError of JavaScript */
function initialValues(name: string, shape: readonly number[], make: () => Float32Array): Float32Array {
  try {
    return make();
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new ConfigError(`there is no room for parameter ${name}`, {
      got: `[${shape.join(', ')}]`,
      hint: 'Choose smaller sizes',
      cause,
    });
  }
}

function requireParameterShape<T extends Tensor | StoredTensor>(name: string, found: T, shape: readonly number[]): T {
  const fits = found.shape.length === shape.length && shape.every((size, i) => size === found.shape[i]);
  if (fits) return found;
  throw new ShapeError(`parameter ${name} has the wrong shape`, {
    expected: `[${shape.join(', ')}]`,
    got: `[${found.shape.join(', ')}]`,
    hint: 'Does the configuration belong to these weights?',
  });
}
