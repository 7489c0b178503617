import { engine, type Tensor } from '@tensorflow/tfjs-core';

/**
 * A tensor of the same values, in place of this one, of which the tape knows nothing: for outputs of a differentiable
 * kernel that have no gradient, such as indices. tfjs would ask for one wherever they go in.
 */
export function detach(x: Tensor): Tensor {
  const { backend } = engine();
  const { dataId, shape, dtype } = x;
  backend.incRef(dataId);
  const taken = engine().makeTensorFromTensorInfo({ dataId, shape, dtype }, backend);
  x.dispose();
  return taken;
}
