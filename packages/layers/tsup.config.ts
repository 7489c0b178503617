import { defineConfig } from 'tsup';
import { buildOptions } from '../../tsup.base';

export default defineConfig(buildOptions({ index: 'src/index.ts', 'checkpoint/index': 'src/checkpoint/index.ts' }));
