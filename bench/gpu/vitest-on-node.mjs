/**
 * As much of vitest as the tests that go to a GPU use (tests.mjs), on Node's own runner: where there is no node_modules,
 * Node is all there is.
 */
import { chai, JestChaiExpect, JestExtend } from '@vitest/expect';
import { after, afterEach, before, describe as suite, it as test } from 'node:test';

chai.use(JestExtend);
chai.use(JestChaiExpect);

export const { expect } = chai;
export { afterEach };
export const afterAll = after;
export const beforeAll = before;
export const describe = Object.assign((title, body) => suite(title, body), { each: eachOf(suite) });
export const it = Object.assign((title, body) => test(title, () => body()), { each: eachOf(test) });

/** @returns it.each or describe.each: a row that is an array is spread; %s and the like take its values in turn. */
function eachOf(define) {
  return (rows) => (title, body) => {
    for (const row of rows) {
      const values = Array.isArray(row) ? row : [row];
      let next = 0;
      define(
        title.replace(/%[sdij]/g, () => String(values[next++])),
        () => body(...values),
      );
    }
  };
}
