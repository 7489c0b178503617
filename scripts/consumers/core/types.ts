import { parseModelConfig, widths, type ModelConfig } from '@vwn/core';

const config: ModelConfig = parseModelConfig({});
export const r: number = widths(config).r;
