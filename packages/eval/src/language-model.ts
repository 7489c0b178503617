import type { LanguageModel } from '@vwn/layers';
import type { IdRows, ScoringModel } from './scoring-model';

/** A language model of `@vwn/layers`, or any model that can be scored already. */
export type EvaluableModel = LanguageModel | ScoringModel;

/** `model` as a {@link ScoringModel}. Its longest input is the configuration's `max_position_embeddings`. */
export function scoringModel(model: EvaluableModel): ScoringModel {
  if (!isLanguageModel(model)) return model;
  const { config } = model;
  const depth = config.num_nextn_predict_layers;
  return {
    vocabSize: config.vocab_size,
    maxLength: config.max_position_embeddings,
    tokenLosses: (ids: IdRows) => model.tokenLosses(ids),
    logits: (ids: IdRows) => model.logits(ids),
    parameterCount: model.parameters.count(),
    ...(depth > 0 ? { multiToken: { depth, losses: (ids: IdRows) => model.loss(ids).losses.slice(1) } } : {}),
  };
}

function isLanguageModel(model: EvaluableModel): model is LanguageModel {
  return 'config' in model && 'parameters' in model;
}
