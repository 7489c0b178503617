import { ConfigError } from '@vwn/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AdamWOptimizer, Batches, decays, learningRate, parseTrainConfig } from '../src/index';

const model = { vocab_size: 300, hidden_size: 16, intermediate_size: 32, num_hidden_layers: 1, num_attention_heads: 2 };

describe('the learning rate', () => {
  const schedule = {
    learning_rate: 0.01,
    lr_scheduler_type: 'cosine',
    min_lr_ratio: 0.1,
    warmup_steps: 10,
    max_steps: 110,
  } as const;

  it('rises linearly to its peak at the end of warm-up and falls along half a cosine to its floor', () => {
    expect(learningRate(1, schedule)).toBeCloseTo(0.001, 12);
    expect(learningRate(10, schedule)).toBeCloseTo(0.01, 12);
    expect(learningRate(60, schedule)).toBeCloseTo(0.01 * (0.1 + 0.9 * 0.5), 12);
    expect(learningRate(110, schedule)).toBeCloseTo(0.001, 12);
  });

  it('stays at its peak when constant, and starts there without warm-up', () => {
    const constant = { ...schedule, lr_scheduler_type: 'constant', warmup_steps: 0 } as const;
    for (const step of [1, 50, 1000]) expect(learningRate(step, constant)).toBe(0.01);
  });

  it('never leaves the range from 0 to its peak', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 500 }), fc.integer({ min: 0, max: 200 }), (step, warmup_steps) => {
        const lr = learningRate(step, { ...schedule, warmup_steps });
        expect(lr).toBeGreaterThan(0);
        expect(lr).toBeLessThanOrEqual(0.01 + 1e-15);
      }),
    );
  });
});

describe('weight decay', () => {
  it('applies to matrices and the dynamic parts, not to norms, biases and static matrices', () => {
    const layer = 'model.layers.0';
    expect(decays(`${layer}.mlp.up_proj.weight`, 2)).toBe(true);
    expect(decays('model.embed_tokens.weight', 2)).toBe(true);
    for (const name of ['dynamic_alpha_fn', 'dynamic_beta_fn', 'dynamic_alpha_scale', 'dynamic_beta_scale'])
      expect(decays(`${layer}.attn_connection.${name}`, 2)).toBe(true);
    for (const name of ['static_alpha', 'static_beta'])
      expect(decays(`${layer}.ffn_connection.${name}`, 2)).toBe(false);
    expect(decays(`${layer}.input_layernorm.weight`, 1)).toBe(false);
  });
});

describe('batches', () => {
  const tokens = Uint16Array.from({ length: 101 }, (_, i) => i);
  const options = { batchSize: 2, sequenceLength: 10, extraTokens: 1, seed: 3 };

  it('show every window once an epoch, for any batch size and seed', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 7 }), fc.integer(), (batchSize, seed) => {
        const batches = new Batches(tokens, { ...options, batchSize, seed });
        const starts = Array.from(
          { length: 10 * batchSize },
          (_, i) => batches.batch(Math.floor(i / batchSize))[i % batchSize]?.[0],
        );
        for (let epoch = 0; epoch < batchSize; epoch++)
          expect(starts.slice(epoch * 10, epoch * 10 + 10).sort((a, b) => Number(a) - Number(b))).toEqual([
            0, 10, 20, 30, 40, 50, 60, 70, 80, 90,
          ]);
      }),
    );
  });

  it('depend on nothing but seed and number', () => {
    const [forward, backward] = [new Batches(tokens, options), new Batches(tokens, options)];
    const later = backward.batch(17);
    for (let i = 0; i < 17; i++) forward.batch(i);
    expect(forward.batch(17)).toEqual(later);
    expect(new Batches(tokens, { ...options, seed: 4 }).batch(0)).not.toEqual(backward.batch(0));
  });

  it('explain a text that is too short', () => {
    expect(() => new Batches(tokens.subarray(0, 10), options)).toThrow(
      'the text is shorter than one training window: expected at least 11 tokens, got 10. Give more text',
    );
  });
});

describe('a training configuration', () => {
  it('takes YAML and fills in defaults', () => {
    const config = parseTrainConfig(
      'model: { vocab_size: 300, hidden_size: 16, intermediate_size: 32, num_hidden_layers: 1, num_attention_heads: 2 }',
    );
    expect(config.train).toMatchObject({ max_steps: 1000, adam_beta2: 0.95, max_grad_norm: 1 });
    expect(config.data.corpus).toBe('sotu');
  });

  it('takes settings by dotted path, numbers in any notation, and sections', () => {
    const overrides = ['train.learning_rate=1e-3', 'model.virtual_width={m: 2, n: 4}', 'data.corpus=[a.txt]'];
    const config = parseTrainConfig({ model }, { overrides });
    expect(config.train.learning_rate).toBe(0.001);
    expect(config.model.virtual_width).toMatchObject({ m: 2, n: 4 });
    expect(config.data.corpus).toEqual(['a.txt']);
  });

  it('names every wrong field at once, with what was expected', () => {
    const bad = { model, train: { max_steps: 0, learning_rate: 'fast', foo: 1 } };
    const attempt = () => parseTrainConfig(bad, { source: 'run.yaml' });
    expect(attempt).toThrow(ConfigError);
    expect(attempt).toThrow(/run\.yaml has 3 problems/);
    expect(attempt).toThrow(/train\.learning_rate: expected a number, got "fast"/);
    expect(attempt).toThrow(/train\.foo: nothing of that name/);
  });

  it('refuses a misspelt key of the model, which would train another, in the file, in a setting and as a merge key', () => {
    const unknown = 'run.yaml, model has a problem:\n  - ';
    const parse = (input: string | object, overrides: string[] = []) => {
      return () => parseTrainConfig(input, { source: 'run.yaml', overrides });
    };
    expect(parse({ model: { ...model, virtual_widht: { m: 2, n: 4 } } })).toThrow(`${unknown}virtual_widht: nothing`);
    expect(parse({ model }, ['model.foo=3'])).toThrow(`${unknown}foo: nothing of that name is known here`);
    const merged = `train: &none {}\nmodel: { <<: *none, ${JSON.stringify(model).slice(1)}`;
    expect(parse(merged)).toThrow(`${unknown}<<: nothing`);
  });

  it('explains a setting without a value and one through a number', () => {
    expect(() => parseTrainConfig({ model }, { overrides: ['train'] })).toThrow('cannot read the setting "train"');
    expect(() => parseTrainConfig({ model }, { overrides: ['model.hidden_size.x=1'] })).toThrow('is not a section');
  });

  it('says which setting is no YAML, and that only a section takes settings', () => {
    const parse = (input: string | object, setting: string) => () => parseTrainConfig(input, { overrides: [setting] });
    for (const setting of ['train.seed=[1', 'train.seed=a: b: c'])
      expect(parse({ model }, setting)).toThrow(`the value of the setting "${setting}" is not valid YAML`);
    expect(parse('', 'train.max_steps=3')).toThrow(/model: /);
    expect(parse('3', 'train.max_steps=3')).toThrow('goes through the whole configuration, which is not a section');
    expect(parse({ model }, 'train.max_steps=3')).not.toThrow();
  });

  it('takes no setting of what all objects have in common', () => {
    expect(() => parseTrainConfig({ model }, { overrides: ['__proto__.polluted=1'] })).toThrow(ConfigError);
    expect('polluted' in {}).toBe(false);
  });

  it.each(['adam_beta1', 'adam_beta2'])('refuses an %s of 1, which would divide by zero', (name) => {
    expect(() => parseTrainConfig({ model, train: { [name]: 1 } })).toThrow(`train.${name}: expected less than 1`);
  });

  it('refuses windows longer than the model has positions, and a tokenizer larger than its vocabulary', () => {
    expect(() =>
      parseTrainConfig({ model: { ...model, max_position_embeddings: 8 }, train: { sequence_length: 16 } }),
    ).toThrow('max_position_embeddings = 8');
    expect(() => parseTrainConfig({ model, data: { tokenizer: { vocab_size: 400 } } })).toThrow(
      'model.vocab_size = 300',
    );
  });

  it('says where YAML breaks', () => {
    expect(() => parseTrainConfig('model: [', { source: 'run.yaml' })).toThrow(/run\.yaml is not valid YAML/);
  });
});

describe('a setting that cannot be', () => {
  it.each([
    ['train.seed=null', 'train.seed: expected a number, or a text, got null'],
    ['train.seed=1.5', 'train.seed: expected a whole number, or a text, got 1.5'],
    ['data.corpus=1', 'data.corpus: expected "sotu", or an array, got 1'],
    ['data.tokenizer=3', 'data.tokenizer: expected an object, or a text, got 3'],
    ['train.batch_size=1e9', 'a batch has more tokens than a tensor can number: expected train.batch_size times'],
    ['train.learning_rate=.inf', 'train.learning_rate: expected a number, got Infinity'],
    ['train.max_grad_norm=.nan', 'train.max_grad_norm: expected a number, got NaN'],
  ])('is named with what it may be, each of several, and what it is: %s', (setting, text) => {
    expect(() => parseTrainConfig({ model }, { overrides: [setting] })).toThrow(text);
  });
});

describe('options that cannot be', () => {
  const adam = { adam_beta1: 0.9, adam_beta2: 0.95, adam_epsilon: 1e-8, weight_decay: 0.1 };
  const batches = { batchSize: 1, sequenceLength: 2, extraTokens: 1, seed: 0 };

  it.each(['adam_beta1', 'adam_beta2', 'adam_epsilon', 'weight_decay'])('are refused of an optimizer: %s', (name) => {
    for (const value of [-1, Number.NaN])
      expect(() => new AdamWOptimizer({ ...adam, [name]: value })).toThrow(`AdamWOptimizer: ${name} is`);
  });

  it.each(['batchSize', 'sequenceLength'])('are refused of batches: %s', (name) => {
    for (const value of [0, -1, 1.5, Number.NaN])
      expect(() => new Batches(new Uint16Array(20), { ...batches, [name]: value })).toThrow(ConfigError);
  });
});
