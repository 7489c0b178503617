/** What a GPU moves: bytes read and written a second by the plainest kernel there is. */

/** The best of several stretches. `size`: floats of a buffer, far more than the caches hold. */
export async function copyGbPerSecond(tf, size) {
  const backend = tf.backend();
  const [from, to] = [tf.zeros([size]), backend.output([size])];
  const rest = tf.zeros([1]);
  const run = (times) => {
    for (let i = 0; i < times; i++) backend.call('convert', [from, to], [size]);
    rest.dataSync(); // waits for all that was asked for before
  };
  run(3);
  let best = 0;
  for (let part = 0; part < 10; part++) {
    const start = performance.now();
    run(10);
    best = Math.max(best, (10 * 2 * 4 * size) / (performance.now() - start) / 1e6);
  }
  tf.dispose([from, rest]);
  backend.disposeData(to.dataId, true);
  return best;
}
