import { ConfigError, Rng } from '@vwn/core';
import { beforeAll, describe, expect, it } from 'vitest';
import { useTestBackend } from '../../core/test/support/backends';
import {
  CausalSelfAttention,
  Connection,
  LinearLayer,
  OverEncoding,
  OverWidthEmbedding,
  Parameters,
  ReduceOperator,
  RmsNormLayer,
  sampleToken,
  SparseMoe,
  SwiGluFeedForward,
} from '../src/index';

beforeAll(() => useTestBackend('cpu'));

/** Each layer with options that are right, and those that replace one of them wrongly. */
const layers: readonly [string, (changed: object) => unknown, readonly Record<string, unknown>[]][] = [
  [
    'OverWidthEmbedding',
    (changed) => new OverWidthEmbedding({ vocabSize: 5, hiddenSize: 4, m: 2, n: 4, ...changed }),
    [
      { mode: 'narrow' },
      { mode: 'toString' },
      { vocabSize: 0 },
      { vocabSize: -1 },
      { vocabSize: 1.5 },
      { vocabSize: NaN },
      { vocabSize: '5' },
      { hiddenSize: 0 },
      { m: 3 },
      { n: 1 },
      { initializerRange: NaN },
    ],
  ],
  [
    'ReduceOperator',
    (changed) => new ReduceOperator({ hiddenSize: 4, m: 2, n: 4, ...changed }),
    [{ norm: 'batch' }, { norm: '' }, { eps: -1 }, { eps: NaN }, { n: 3 }, { m: 0 }, { initializerRange: -1 }],
  ],
  [
    'Connection',
    (changed) => new Connection({ hiddenSize: 4, m: 2, n: 4, ...changed }),
    [{ eps: -1 }, { eps: NaN }, { m: 0 }, { n: 2.5 }, { hiddenSize: NaN }],
  ],
  [
    'CausalSelfAttention',
    (changed) => new CausalSelfAttention({ hiddenSize: 8, heads: 2, ...changed }),
    [
      { heads: 0 },
      { heads: 3 },
      { heads: 8 },
      { keyValueHeads: 3 },
      { keyValueHeads: 0 },
      { headDim: 3 },
      { headDim: 0 },
      { ropeTheta: 0 },
      { ropeTheta: Infinity },
      { hiddenSize: -8 },
      { outputRange: -1 },
    ],
  ],
  [
    'SwiGluFeedForward',
    (changed) => new SwiGluFeedForward({ hiddenSize: 4, intermediateSize: 6, ...changed }),
    [{ hiddenSize: 0 }, { intermediateSize: 0 }, { intermediateSize: 0.5 }, { initializerRange: Infinity }],
  ],
  [
    'SparseMoe',
    (changed) => new SparseMoe({ hiddenSize: 4, intermediateSize: 6, experts: 3, expertsPerToken: 2, ...changed }),
    [{ experts: 0 }, { experts: 1 }, { experts: NaN }, { expertsPerToken: 0 }, { expertsPerToken: 1.5 }],
  ],
  [
    'OverEncoding',
    (changed) => new OverEncoding({ vocabSize: 5, width: 4, tableSize: 7, ...changed }),
    [{ vocabSize: 0 }, { tableSize: -1 }, { slices: 0 }, { slices: 3 }, { ngrams: [2, 0] }, { width: NaN }],
  ],
  [
    'LinearLayer',
    (changed) => new LinearLayer({ input: 2, output: 3, std: 1, ...changed }, new Parameters()),
    [{ input: 0 }, { output: 1.5 }, { std: NaN }],
  ],
  [
    'RmsNormLayer',
    (changed) => new RmsNormLayer({ width: 2, eps: 1e-6, ...changed }, new Parameters()),
    [{ width: 0 }, { eps: -1 }],
  ],
  [
    'sampleToken',
    (changed) => sampleToken(new Float32Array(4), changed, Rng.fromSeed(1)),
    [{ temperature: -1 }, { temperature: NaN }, { topK: 0 }, { topK: 2.5 }, { topP: 1.5 }, { topP: NaN }],
  ],
];

describe.each(layers)('%s', (_name, make, wrong) => {
  it('takes options that are right', () => {
    make({});
  });

  it.each(wrong.map((each) => [JSON.stringify(each), each] as const))(
    'refuses %s with a ConfigError',
    (_text, each) => {
      expect(() => make(each)).toThrow(ConfigError);
    },
  );
});

it('a table that no array has room for is a ConfigError that names the parameter', () => {
  const embedding = () => new OverWidthEmbedding({ vocabSize: 1e12, hiddenSize: 16 });
  expect(embedding).toThrow(ConfigError);
  expect(embedding).toThrow('there is no room for parameter embed_tokens.weight: got [1000000000000, 16]');
});

it('a mode and a norm that there are not are named, with those that there are', () => {
  const embedding = () => new OverWidthEmbedding({ vocabSize: 5, hiddenSize: 4, mode: 'narrow' as 'wide' });
  expect(embedding).toThrow('OverWidthEmbedding: there is no such mode: expected wide, expand, got narrow');
  const reduce = () => new ReduceOperator({ hiddenSize: 4, m: 2, n: 4, norm: 'batch' as 'rms' });
  expect(reduce).toThrow('ReduceOperator: there is no such norm: expected rms, layer, none, got batch');
});
