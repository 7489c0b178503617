/** How kernels are compiled for a watched build, by GCC: each access to memory is a call, which native/emulation/watch.cc answers. */
export const watchedFlags = [
  '-fsanitize=thread',
  '--param=tsan-instrument-func-entry-exit=0',
  '--param=tsan-distinguish-volatile=1',
];
