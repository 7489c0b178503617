/**
 * The command line with TensorFlow.js's own backend linked in, to train beside vwn-cpu where there is no node_modules. As
 * imports at run time: esbuild leaves a bare one of that package out.
 */
await import('@tensorflow/tfjs-backend-cpu');
await import('../../apps/cli/src/main.ts');
