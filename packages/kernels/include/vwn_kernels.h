/**
 * The one contract between @vwn/kernels (TypeScript) and a native library: vwn-cpu and vwn-cuda bring the same named
 * functions. Every function has one signature; which buffers and numbers it takes stands beside its caller in
 * packages/kernels/src/table/, and at its definition.
 *
 * Nothing here aborts, allocates for the caller, or keeps a pointer after it returns. A function returns NULL, or a
 * static text that says what was wrong; the loader turns that into an exception. Where a text has the form "what is
 * wrong, and must be what is expected; what to do", either of the last two left out or not, each part is told as such. A text that begins
 * with "out of memory" asks for room: the loader gives back what it keeps, and makes the call once more.
 */
#ifndef VWN_KERNELS_H
#define VWN_KERNELS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Bumped whenever a buffer, a number or the meaning of one changes; loader and library must agree. */
#define VWN_ABI_VERSION 4

/** How elements are stored. Sums, norms, softmax and coefficients are computed in F32 whatever the storage. */
enum vwn_type { VWN_F32 = 0, VWN_BF16 = 1, VWN_I32 = 2, VWN_U8 = 3 };

typedef struct {
  void *data;   /* 64-byte aligned where the library's own allocator made it; NULL only when size is 0 */
  int64_t size; /* elements */
  int32_t type; /* vwn_type */
} vwn_buffer;

typedef struct {
  const vwn_buffer *buffers;
  const double *numbers; /* dimensions, flags and constants; integers are exact up to 2^53 */
  int32_t buffer_count;
  int32_t number_count;
} vwn_call;

typedef const char *(*vwn_function)(const vwn_call *call);

typedef struct {
  const char *name;
  vwn_function run;
} vwn_entry;

#ifdef __cplusplus
}
#endif
#endif
