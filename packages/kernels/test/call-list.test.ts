import { describe, expect, it } from 'vitest';
import { CallList } from '../src/call-list';
import type { NativeLibrary } from '../src/index';

/** A library that says what it is asked for; its one function is `fill`. */
function fakeLibrary({ keeps = true } = {}) {
  const asked: string[] = [];
  const library = {
    asked,
    functions: ['fill'],
    arguments: new Float64Array(4),
    /** Whether recordings are still good. */
    isGood: true,
    /** What the next thing asked for throws, and what it leaves in the arguments. */
    failure: undefined as { text: string; at: number } | undefined,
    runAll: () => library.note('run'),
    ...(keeps && {
      recordings: {
        record: () => (library.note('record'), (library.isGood = true), asked.length),
        play: (recording: number) => (library.note(`play ${recording}`), library.isGood),
        release: (recording: number) => library.note(`release ${recording}`),
      },
    }),
    note(what: string) {
      if (library.failure) {
        library.arguments[0] = library.failure.at;
        throw new Error(library.failure.text);
      }
      asked.push(what);
    },
  };
  return library;
}

const listOf = (library: ReturnType<typeof fakeLibrary>) =>
  new CallList(library as unknown as NativeLibrary, new Float64Array(0));

describe('a list of calls', () => {
  it('is run call by call by a library that keeps no recordings', () => {
    const library = fakeLibrary({ keeps: false });
    const list = listOf(library);
    list.run();
    list.run();
    list.dispose();
    expect(library.asked).toEqual(['run', 'run']);
  });

  it('is recorded once, then played, and released in the end', () => {
    const library = fakeLibrary();
    const list = listOf(library);
    list.run();
    list.run();
    list.dispose();
    list.dispose();
    expect(library.asked).toEqual(['record', 'play 1', 'play 1', 'release 1']);
  });

  it('is recorded anew where its recording is out of date', () => {
    const library = fakeLibrary();
    const list = listOf(library);
    list.run();
    library.isGood = false;
    list.run();
    expect(library.asked).toEqual(['record', 'play 1', 'play 1', 'release 1', 'record', 'play 5']);
  });

  it('says which kernel failed', () => {
    const library = fakeLibrary();
    library.failure = { text: 'a buffer has no memory', at: 0 };
    expect(() => listOf(library).run()).toThrow(/kernel fill failed[^]*a buffer has no memory/);
  });

  it('says that it cannot be run again where no kernel is to blame', () => {
    const library = fakeLibrary();
    library.failure = { text: 'no CUDA graph can be begun', at: -1 };
    expect(() => listOf(library).run()).toThrow(/captured kernels cannot be run again[^]*no CUDA graph can be begun/);
  });
});
