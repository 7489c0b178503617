import { tensor, type Tensor } from '@tensorflow/tfjs-core';
import { connectionKernelNames, KernelName } from '../kernel-names';
import { blockMix } from '../ops/block-mix';
import type { ConnectionParameters, SublayerNorm } from '../ops/connection-parameters';
import { connectionEntry, connectionRead, connectionStep, connectionWrite } from '../ops/connection-step';
import { depthConnection } from '../ops/depth-connection';
import { widthConnection } from '../ops/width-connection';
import type { Rng } from '../random';
import { staticAlpha, staticBeta } from '../static-matrices';
import { normalInput, type CaseInputs, type OpCase } from './op-case';

/**
 * Small rows take a large eps: it shows whether eps stands inside the root, and keeps the norm of a short segment (of
 * one element it would be the sign function) smooth enough for finite differences.
 */
const epsOf = ({ size }: ConnectionSize) => (size === 'small' ? 0.5 : 1e-6);
/**
 * Of the sublayer's norm: another, which shows where one is taken for the other. It is the larger, for with m = n = 1 the
 * norm takes out what the read's coefficient has put in, and all that is left of its gradient comes from eps.
 */
const normEpsOf = ({ size }: ConnectionSize) => (size === 'small' ? 2 : 1e-5);

/** Sizes of one row of the table; `lead` are the dimensions before the last, [batch, tokens] or any other. */
export interface ConnectionSize {
  readonly m: number;
  readonly n: number;
  readonly db: number;
  readonly lead: readonly number[];
  readonly size: OpCase['size'];
}

/** The corner cases (m = 1, n = m, both; n no multiple of m; one token; odd counts; no token at all; db = 1; few slots
 * of whole vectors) and real models' sizes. */
export const connectionSizes: readonly ConnectionSize[] = [
  { m: 1, n: 1, db: 5, lead: [3], size: 'small' },
  { m: 1, n: 4, db: 16, lead: [2, 3], size: 'small' },
  { m: 4, n: 4, db: 3, lead: [7], size: 'small' },
  { m: 2, n: 3, db: 12, lead: [1, 1], size: 'small' },
  { m: 2, n: 3, db: 4, lead: [0], size: 'small' },
  { m: 2, n: 3, db: 1, lead: [5], size: 'small' },
  { m: 1, n: 2, db: 32, lead: [37], size: 'small' },
  { m: 2, n: 3, db: 48, lead: [3, 7], size: 'small' },
  { m: 2, n: 4, db: 80, lead: [37], size: 'small' },
  { m: 3, n: 7, db: 5, lead: [2, 1, 3], size: 'small' },
  { m: 4, n: 16, db: 8, lead: [1, 9], size: 'small' },
  { m: 8, n: 64, db: 8, lead: [2, 3], size: 'small' },
  { m: 2, n: 3, db: 128, lead: [8, 256], size: 'large' },
  { m: 4, n: 8, db: 32, lead: [16, 128], size: 'large' },
  { m: 4, n: 16, db: 32, lead: [16, 128], size: 'large' },
  { m: 8, n: 64, db: 32, lead: [8, 256], size: 'large' },
];

const staticNames = ['staticAlpha', 'staticBeta'] as const;
const dynamicNames = ['normWeight', 'alphaFn', 'betaFn', 'alphaScale', 'betaScale'] as const;
const namesOf = (dynamic: boolean): readonly string[] => (dynamic ? [...staticNames, ...dynamicNames] : staticNames);

/** Parameters around their initial values, with W large enough that tanh bends. */
function parameterInputs({ m, n, db }: ConnectionSize, dynamic: boolean, rng: Rng): CaseInputs {
  const around = (name: string, initial: Float32Array, shape: number[]) =>
    tensor(
      rng
        .fork(name)
        .normals(initial.length, 0.3)
        .map((value, i) => value + (initial[i] as number)),
      shape,
    );
  const fixed = {
    staticAlpha: around('staticAlpha', staticAlpha(m, n), [n, m + n]),
    staticBeta: around('staticBeta', staticBeta(m, n), [n, m]),
  };
  if (!dynamic) return fixed;
  return {
    ...fixed,
    normWeight: normalInput(rng.fork('normWeight'), [db], 0.2, 1),
    alphaFn: normalInput(rng.fork('alphaFn'), [db, m + n]),
    betaFn: normalInput(rng.fork('betaFn'), [db, m]),
    alphaScale: normalInput(rng.fork('alphaScale'), [n, m + n], 0.3, 1),
    betaScale: normalInput(rng.fork('betaScale'), [n, m], 0.3, 1),
  };
}

/** The connection whose tensors stand in a case's inputs, under names that may carry a prefix. */
export function connectionOf(inputs: CaseInputs, prefix = ''): ConnectionParameters {
  const get = (name: string) => inputs[prefix + name] as Tensor;
  const fixed = { staticAlpha: get('staticAlpha'), staticBeta: get('staticBeta') };
  if (!inputs[`${prefix}normWeight`]) return fixed;
  const [normWeight, alphaFn, betaFn, alphaScale, betaScale] = dynamicNames.map(get) as [
    Tensor,
    Tensor,
    Tensor,
    Tensor,
    Tensor,
  ];
  return { ...fixed, dynamic: { normWeight, alphaFn, betaFn, alphaScale, betaScale } };
}

/** The norm of the sublayer behind a connection, as the case's input `sublayerNorm`, where the case has one. */
function sublayerNormOf({ sublayerNorm }: CaseInputs, size: ConnectionSize): SublayerNorm | undefined {
  return sublayerNorm && { weight: sublayerNorm, eps: normEpsOf(size) };
}

function normInputs({ m, db }: ConnectionSize, normed: boolean, rng: Rng): CaseInputs {
  return normed ? { sublayerNorm: normalInput(rng.fork('sublayerNorm'), [m * db], 0.2, 1) } : {};
}

/** What a title says of a step or a read. */
const kindOf = (dynamic: boolean, normed: boolean) => `${dynamic ? 'dynamic' : 'static'}${normed ? ' normed' : ''}`;

/** Tokens, backbone width and the FLOPs of the parts (vwn.md §6). */
function counts({ m, n, db, lead }: ConnectionSize) {
  const tokens = lead.reduce((product, each) => product * each, 1);
  const D = m * db;
  const coefficients = tokens * (4 + 2 * (2 * m + n)) * (n / m) * D;
  return {
    D,
    tokens,
    coefficients,
    norm: tokens * 4 * D,
    width: tokens * 2 * (m + n) * (n / m) * D,
    depth: tokens * 2 * n * D,
  };
}

function titled(op: string, { m, n, db, lead }: ConnectionSize, kind: string): { name: string; op: string } {
  return { op, name: `${[op, kind].filter(Boolean).join(' ')} m=${m} n=${n} db=${db} lead=${lead.join('x')}` };
}

function widthCase(size: ConnectionSize, dynamic: boolean): OpCase {
  const { m, n, db, lead } = size;
  const { coefficients, width } = counts(size);
  return {
    ...titled('widthConnection', size, dynamic ? 'dynamic' : 'static'),
    kernels: dynamic
      ? [KernelName.WidthConnection, KernelName.WidthConnectionGrad]
      : [KernelName.StaticWidthConnection, KernelName.StaticWidthConnectionGrad],
    size: size.size,
    flops: width + (dynamic ? coefficients : 0),
    // A static beta passes through untouched and is the depth connection's business.
    differentiable: ['h', ...namesOf(dynamic)].filter((name) => dynamic || name !== 'staticBeta'),
    inputs: (rng) => ({ h: normalInput(rng.fork('h'), [...lead, n * db]), ...parameterInputs(size, dynamic, rng) }),
    run: ({ h, ...rest }) => {
      const { x, carry, beta } = widthConnection(h as Tensor, connectionOf(rest), { m, n, eps: epsOf(size) });
      return dynamic ? [x, carry, beta] : [x, carry];
    },
  };
}

function depthCase(size: ConnectionSize, dynamic: boolean): OpCase {
  const { m, n, db, lead } = size;
  return {
    ...titled('depthConnection', size, dynamic ? 'dynamic' : 'static'),
    kernels: [KernelName.DepthConnection, KernelName.DepthConnectionGrad],
    size: size.size,
    flops: counts(size).depth,
    differentiable: ['out', 'carry', 'beta'],
    inputs: (rng) => ({
      out: normalInput(rng.fork('out'), [...lead, m * db]),
      carry: normalInput(rng.fork('carry'), [...lead, n * db]),
      beta: normalInput(rng.fork('beta'), dynamic ? [...lead, n, m] : [n, m]),
    }),
    run: ({ out, carry, beta }) => [depthConnection(out as Tensor, carry as Tensor, beta as Tensor, { m, n })],
  };
}

function stepCase(size: ConnectionSize, dynamic: boolean, normed: boolean): OpCase {
  const { m, n, db, lead } = size;
  const { coefficients, width, depth, norm } = counts(size);
  const prefixed = (prefix: string, tensors: CaseInputs): CaseInputs =>
    Object.fromEntries(Object.entries(tensors).map(([name, each]) => [prefix + name, each]));
  return {
    ...titled('connectionStep', size, kindOf(dynamic, normed)),
    kernels: connectionKernelNames({ write: true, read: true, dynamic, normed }),
    size: size.size,
    flops: width + depth + (dynamic ? coefficients : 0) + (normed ? norm : 0),
    // Of the next connection only what reads takes part; its write comes after its sublayer.
    differentiable: [
      ...['h', 'out', ...namesOf(dynamic).map((name) => `previous.${name}`)],
      ...namesOf(dynamic)
        .filter((name) => !name.toLowerCase().includes('beta'))
        .map((name) => `next.${name}`),
      ...(normed ? ['sublayerNorm'] : []),
    ],
    inputs: (rng) => ({
      h: normalInput(rng.fork('h'), [...lead, n * db]),
      out: normalInput(rng.fork('out'), [...lead, m * db]),
      ...prefixed('previous.', parameterInputs(size, dynamic, rng.fork('previous'))),
      ...prefixed('next.', parameterInputs(size, dynamic, rng.fork('next'))),
      ...normInputs(size, normed, rng),
    }),
    run: ({ h, out, ...rest }) => {
      const [previous, next] = [connectionOf(rest, 'previous.'), connectionOf(rest, 'next.')];
      const sizes = { m, n, eps: epsOf(size) };
      const step = connectionStep(h as Tensor, out as Tensor, previous, next, sizes, sublayerNormOf(rest, size));
      return [step.h, step.x];
    },
  };
}

function readCase(size: ConnectionSize, dynamic: boolean, normed: boolean, passes = false): OpCase {
  const { m, n, db, lead } = size;
  const { D, tokens, width, coefficients, norm } = counts(size);
  const read = tokens * 2 * n * D;
  return {
    ...titled(passes ? 'connectionEntry' : 'connectionRead', size, kindOf(dynamic, normed)),
    kernels: connectionKernelNames({ write: false, read: true, dynamic, normed, passes }),
    size: size.size,
    flops: read + (dynamic ? (coefficients * read) / (width + read) : 0) + (normed ? norm : 0),
    differentiable: ['h', ...namesOf(dynamic), ...(normed ? ['sublayerNorm'] : [])].filter(
      (name) => !name.toLowerCase().includes('beta'),
    ),
    inputs: (rng) => ({
      h: normalInput(rng.fork('h'), [...lead, n * db]),
      ...parameterInputs(size, dynamic, rng),
      ...normInputs(size, normed, rng),
    }),
    run: ({ h, ...rest }) => {
      const sizes = { m, n, eps: epsOf(size) };
      const [next, norm] = [connectionOf(rest), sublayerNormOf(rest, size)];
      if (!passes) return [connectionRead(h as Tensor, next, sizes, norm)];
      const entry = connectionEntry(h as Tensor, next, sizes, norm);
      return [entry.h, entry.x];
    },
  };
}

function writeCase(size: ConnectionSize, dynamic: boolean): OpCase {
  const { m, n, db, lead } = size;
  const { D, tokens, width, depth, coefficients } = counts(size);
  const read = tokens * 2 * n * D;
  return {
    ...titled('connectionWrite', size, dynamic ? 'dynamic' : 'static'),
    kernels: connectionKernelNames({ write: true, read: false, dynamic, normed: false }),
    size: size.size,
    flops: width - read + depth + (dynamic ? coefficients : 0),
    differentiable: ['h', 'out', ...namesOf(dynamic)],
    inputs: (rng) => ({
      h: normalInput(rng.fork('h'), [...lead, n * db]),
      out: normalInput(rng.fork('out'), [...lead, m * db]),
      ...parameterInputs(size, dynamic, rng),
    }),
    run: ({ h, out, ...rest }) => [
      connectionWrite(h as Tensor, out as Tensor, connectionOf(rest), { m, n, eps: epsOf(size) }),
    ],
  };
}

function blockMixCase(size: ConnectionSize): OpCase {
  const { n, db, lead } = size;
  const differentiable = ['hidden', 'embed', 'hiddenNorm', 'embedNorm', 'mix'];
  return {
    ...titled('blockMix', size, ''),
    kernels: [KernelName.BlockMix, KernelName.BlockMixGrad],
    size: size.size,
    flops: counts(size).tokens * n * (4 * db * db + 8 * db),
    differentiable,
    inputs: (rng) => ({
      hidden: normalInput(rng.fork('hidden'), [...lead, n * db]),
      embed: normalInput(rng.fork('embed'), [...lead, n * db]),
      hiddenNorm: normalInput(rng.fork('hiddenNorm'), [db], 0.2, 1),
      embedNorm: normalInput(rng.fork('embedNorm'), [db], 0.2, 1),
      mix: normalInput(rng.fork('mix'), [db, 2 * db], 1 / Math.sqrt(db)),
    }),
    run: (inputs) => {
      const [hidden, embed, hiddenNorm, embedNorm, mix] = differentiable.map((name) => inputs[name] as Tensor) as [
        Tensor,
        Tensor,
        Tensor,
        Tensor,
        Tensor,
      ];
      return [blockMix(hidden, embed, { hiddenNorm, embedNorm, mix }, { n, eps: epsOf(size) })];
    },
  };
}

/** Every connection operation, static and dynamic, at every size. */
export const connectionCases: readonly OpCase[] = connectionSizes.flatMap((size) => [
  ...[false, true].flatMap((dynamic) => [
    widthCase(size, dynamic),
    depthCase(size, dynamic),
    stepCase(size, dynamic, false),
    stepCase(size, dynamic, true),
    readCase(size, dynamic, false),
    readCase(size, dynamic, true),
    readCase(size, dynamic, false, true),
    readCase(size, dynamic, true, true),
    writeCase(size, dynamic),
  ]),
  blockMixCase(size),
]);
