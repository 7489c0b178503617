import js from '@eslint/js';
import tseslint from 'typescript-eslint';

/** The arrows between packages (docs/architecture.md): what each may not import. */
const forbiddenImports = {
  core: ['@vwn/*', 'vwn'],
  layers: ['@vwn/trainer', '@vwn/eval', '@vwn/text', '@vwn/kernels*', 'vwn'],
  text: ['@vwn/layers', '@vwn/trainer', '@vwn/eval', '@vwn/kernels*', 'vwn'],
  trainer: ['@vwn/eval', '@vwn/kernels*', 'vwn'],
  eval: ['@vwn/trainer', '@vwn/kernels*', 'vwn'],
  kernels: ['@vwn/layers', '@vwn/trainer', '@vwn/eval', '@vwn/text', '@vwn/kernels-*', 'vwn'],
  'kernels-cpu': ['@vwn/layers', '@vwn/trainer', '@vwn/eval', '@vwn/text', '@vwn/kernels-cuda', 'vwn'],
  'kernels-cuda': ['@vwn/layers', '@vwn/trainer', '@vwn/eval', '@vwn/text', '@vwn/kernels-cpu', 'vwn'],
};

export default tseslint.config(
  { ignores: ['**/dist/**', '**/node_modules/**', '**/fixtures/**', 'runs/**', '**/.cache/**', '**/.venv/**'] },
  js.configs.recommended,
  ...tseslint.configs.recommended,
  {
    rules: {
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      eqeqeq: ['error', 'always', { null: 'ignore' }],
      'max-lines': ['error', { max: 400 }],
      'no-console': 'error',
      'prefer-const': 'error',
    },
  },
  {
    files: ['scripts/**', 'bench/**', 'examples/**', 'apps/cli/**'],
    languageOptions: {
      globals: {
        process: 'readonly',
        console: 'readonly',
        performance: 'readonly',
        URL: 'readonly',
        Buffer: 'readonly',
      },
    },
    rules: { 'no-console': 'off' },
  },
  {
    files: ['**/*.mjs', '**/*.js'],
    languageOptions: {
      globals: { process: 'readonly', console: 'readonly', performance: 'readonly', URL: 'readonly' },
    },
  },
  ...Object.entries(forbiddenImports).map(([name, patterns]) => ({
    files: [`packages/${name}/src/**/*.ts`],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          patterns: [
            {
              group: patterns.filter((p) => !(name === 'core' && p === '@vwn/core')),
              message: 'against the arrows of docs/architecture.md',
            },
          ],
        },
      ],
    },
  })),
);
