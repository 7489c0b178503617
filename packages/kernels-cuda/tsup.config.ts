import { defineConfig } from 'tsup';
import { buildOptions } from '../../tsup.base';

export default defineConfig(buildOptions({ index: 'src/index.ts' }));
