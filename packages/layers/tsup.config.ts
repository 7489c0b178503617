import { defineConfig } from 'tsup';
import { buildOptions } from '../../tsup.base';

export default defineConfig(buildOptions());
