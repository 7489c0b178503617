import type { NativeKernel } from '../native-kernel';
import { arithmeticKernels } from './arithmetic';
import { attentionKernels } from './attention';
import { blockMixKernels } from './block-mix';
import { connectionKernels } from './connection';
import { crossEntropyKernels } from './cross-entropy';
import { embeddingKernels } from './embedding';
import { expertKernels } from './experts';
import { layoutKernels } from './layout';
import { linearKernels } from './linear';
import { linearsKernels } from './linears';
import { matrixKernels } from './matrix-product';
import { normKernels } from './norms';
import { optimizerKernels } from './optimizer';
import { reductionKernels } from './reductions';
import { swiGluKernels } from './swi-glu';
import { unaryKernels } from './unary';
import { usedTwiceKernels } from './used-twice';

/** The one list of kernels with a native form; every other kernel of tfjs is the stock one. */
export const kernelTable: readonly NativeKernel[] = [
  ...linearKernels,
  ...linearsKernels,
  ...expertKernels,
  ...normKernels,
  ...attentionKernels,
  ...connectionKernels,
  ...blockMixKernels,
  ...swiGluKernels,
  ...embeddingKernels,
  ...crossEntropyKernels,
  ...optimizerKernels,
  ...usedTwiceKernels,
  ...matrixKernels,
  ...arithmeticKernels,
  ...unaryKernels,
  ...reductionKernels,
  ...layoutKernels,
];
