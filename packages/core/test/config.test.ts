import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ConfigError, parseModelConfig, toHuggingFaceConfig, widths } from '../src/index';

const backbone = {
  vocab_size: 100,
  hidden_size: 32,
  intermediate_size: 48,
  num_hidden_layers: 2,
  num_attention_heads: 4,
};
const golden = new URL('../../layers/test/fixtures/golden/lm/', import.meta.url);

describe('a model configuration', () => {
  it('fills in defaults as Hugging Face has them', () => {
    expect(parseModelConfig(backbone)).toMatchObject({
      model_type: 'llama',
      num_key_value_heads: 4,
      head_dim: 8,
      rope_theta: 10000,
      tie_word_embeddings: false,
    });
    expect(parseModelConfig({ ...backbone, num_local_experts: 4 }).model_type).toBe('mixtral');
    expect(parseModelConfig({ ...backbone, virtual_width: { m: 2, n: 4 } }).model_type).toBe('vwn');
  });

  it('derives the widths of the method', () => {
    expect(widths(parseModelConfig({ ...backbone, virtual_width: { m: 4, n: 16 } }))).toMatchObject({
      D: 32,
      db: 8,
      r: 4,
      overWidth: 128,
      virtual: true,
    });
    expect(widths(parseModelConfig(backbone))).toMatchObject({ m: 1, n: 1, r: 1, virtual: false });
  });

  it.each(['llama', 'mixtral', 'vwn_1_5x', 'vwn_2x_expand_layernorm', 'vwn_moe_mtp', 'vwn_static'])(
    'of the golden model %s survives writing and reading',
    (name) => {
      const config = parseModelConfig(JSON.parse(readFileSync(new URL(`${name}/config.json`, golden), 'utf8')));
      expect(parseModelConfig(JSON.parse(JSON.stringify(toHuggingFaceConfig(config))))).toEqual(config);
    },
  );

  it('reads rope_parameters of newer transformers', () => {
    expect(
      parseModelConfig({ ...backbone, rope_parameters: { rope_theta: 5e5, rope_type: 'default' } }).rope_theta,
    ).toBe(5e5);
  });

  it.each<[string, object, RegExp]>([
    [
      'm that does not divide',
      { virtual_width: { m: 3, n: 6 } },
      /m must divide the hidden size: expected a divisor of 32, got m = 3.*Choose m among 1, 2, 4/s,
    ],
    ['n below m', { virtual_width: { m: 4, n: 2 } }, /n ≥ m\): expected n of at least 4, got n = 2/],
    [
      'a fractional r with a norm',
      { virtual_width: { m: 2, n: 3 } },
      /reduce_norm: expected "none", got "rms".*n\/m = 3\/2/s,
    ],
    ['heads that do not divide', { num_attention_heads: 5 }, /num_attention_heads must divide hidden_size/],
    ['an odd head width', { head_dim: 7 }, /head_dim: expected an even number/],
    [
      'key/value heads that do not divide',
      { num_key_value_heads: 3 },
      /expected a divisor of num_attention_heads = 4, got 3/,
    ],
    [
      'too many experts a token',
      { num_local_experts: 2, num_experts_per_tok: 3 },
      /at most num_local_experts = 2, got 3/,
    ],
    [
      'a tied wide embedding',
      { tie_word_embeddings: true, virtual_width: { m: 2, n: 4 } },
      /cannot serve as the unembedding/,
    ],
    [
      'scaled rotary embeddings',
      { rope_scaling: { rope_type: 'llama3', factor: 8 } },
      /rope_scaling: scaled rotary embeddings are not supported/,
    ],
    ['biases', { attention_bias: true }, /attention_bias: projections have no bias here/],
    [
      'an unknown key of virtual_width',
      { virtual_width: { m: 2, n: 4, dynamc: true } },
      /virtual_width\.dynamc: nothing of that name is known/,
    ],
    ['a text for a number', { vocab_size: 'many' }, /vocab_size: expected a (whole )?number, got "many"/],
    ['a missing field', { hidden_size: undefined }, /hidden_size: expected a (whole )?number, it is missing/],
  ])('with %s is refused with an explanation', (_title, change, message) => {
    const attempt = () => parseModelConfig({ ...backbone, ...change }, 'config.json');
    expect(attempt).toThrow(ConfigError);
    expect(attempt).toThrow(message);
    expect(attempt).toThrow(/^config\.json has a problem/);
  });

  const strictly = (more: object) => () => parseModelConfig({ ...backbone, ...more }, 'model', { refuseUnknown: true });

  it('names an unknown key where people write it, with the one that it may be a slip of', () => {
    const unknown = 'nothing of that name is known here';
    expect(strictly({ virtual_widht: { m: 2, n: 4 } })).toThrow(
      new ConfigError(`model has a problem:\n  - virtual_widht: ${unknown}; did you mean virtual_width?`),
    );
    expect(strictly({ num_key_value_head: 1 })).toThrow(`${unknown}; did you mean num_key_value_heads?`);
    expect(strictly({ hiddenSize: 1 })).toThrow(`${unknown}; did you mean hidden_size?`);
    expect(strictly({ foo: 3 })).toThrow(/ {2}- foo: nothing of that name is known here$/);
    expect(strictly({ '<<': backbone })).toThrow(
      '<<: nothing of that name is known here; YAML merge keys are not read',
    );
  });

  it('may be a config.json of Hugging Face where unknown keys are refused, but for dropout, which there is not', () => {
    for (const name of ['mixtral', 'llama-f16', 'llama-grouped-heads', 'llama-head-dim-bf16', 'llama-tied-sharded']) {
      const file = new URL(`../../eval/test/fixtures/huggingface/${name}/config.json`, import.meta.url);
      expect(strictly(JSON.parse(readFileSync(file, 'utf8')))).not.toThrow();
    }
    const ours = toHuggingFaceConfig(parseModelConfig({ ...backbone, virtual_width: { m: 2, n: 4 } }));
    expect(strictly(ours)).not.toThrow();
    expect(strictly({ attention_dropout: 0.1 })).toThrow('attention_dropout: not supported here, got 0.1');
  });

  it('is read from a config.json with keys that mean nothing here', () => {
    expect(parseModelConfig({ ...backbone, is_llama_config: true })).toEqual(parseModelConfig(backbone));
  });

  it('reports all problems at once', () => {
    expect(() => parseModelConfig({ vocab_size: 0 })).toThrow(/has 5 problems/);
  });
});
