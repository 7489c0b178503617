import { engine } from '@tensorflow/tfjs-core';

/** How many gradients tfjs is recording, one inside the other; 0 outside all, and while the outermost is taken backwards. */
export function gradientDepth(): number {
  return (engine().state as { gradientDepth: number }).gradientDepth;
}
