/** In place of bench/support/packages.mjs where there is no checkout: the packages are linked in, for vwn-cuda alone. */
import * as tf from '@tensorflow/tfjs-core';
import * as core from '@vwn/core';
import '@vwn/kernels-cuda';
import * as layers from '@vwn/layers';
import * as trainer from '@vwn/trainer';

const linked = { '@tensorflow/tfjs-core': tf, '@vwn/core': core, '@vwn/layers': layers, '@vwn/trainer': trainer };

/** @throws Error naming a package that is not linked in */
export function importBuilt(specifier) {
  if (!linked[specifier]) throw new Error(`${specifier} is not in this bundle; bench/gpu/linked-packages.mjs links it`);
  return Promise.resolve(linked[specifier]);
}

export async function useBackend({ selectBackend }, name) {
  return (await selectBackend(name)).details;
}

export function usePrecision({ setPrecision }, precision) {
  setPrecision(precision);
}
