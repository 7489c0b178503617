/**
 * The functions of cuBLASLt that this library calls, found at run time in the user's CUDA 12 or 13; without it, products
 * are made by kernels of our own (host/gemm.cc). Declared here, since its headers are on few machines; numbers as in
 * cublasLt.h and library_types.h of 13.1, which are those of 12 as well.
 */
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

namespace vwn {
namespace cuda {

struct HandleOfLt;
struct OperationOfLt;
struct LayoutOfLt;
struct PreferenceOfLt;

/** cublasLtMatmulAlgo_t and cublasLtMatmulHeuristicResult_t. */
struct AlgorithmOfLt {
  uint64_t data[8];
};
struct HeuristicOfLt {
  AlgorithmOfLt algorithm;
  size_t workspaceBytes;
  int status;
  float waves;
  int reserved[4];
};

namespace lt {
/* cublasStatus_t */
constexpr int notSupported = 15;
/* cudaDataType_t, cublasComputeType_t, cublasOperation_t */
constexpr int f32 = 0, bf16 = 14, computeF32 = 68, transpose = 1;
/* cublasLtMatmulDescAttributes_t, cublasLtMatrixLayoutAttribute_t, cublasLtMatmulPreferenceAttributes_t */
constexpr int transposeA = 3, transposeB = 4, batchCount = 5, batchStride = 6, workspaceBytes = 1;
constexpr int alignmentA = 5, alignmentB = 6, alignmentC = 7, alignmentD = 8;
}  // namespace lt

/* field, symbol, result, parameters */
#define VWN_LT_FUNCTIONS(each)                                                                                           \
  each(version, cublasLtGetVersion, size_t, ())                                                                          \
  each(create, cublasLtCreate, int, (HandleOfLt * *handle))                                                              \
  each(createOperation, cublasLtMatmulDescCreate, int, (OperationOfLt * *operation, int compute, int scale))             \
  each(destroyOperation, cublasLtMatmulDescDestroy, int, (OperationOfLt * operation))                                    \
  each(setOperation, cublasLtMatmulDescSetAttribute, int,                                                                \
       (OperationOfLt * operation, int attribute, const void *value, size_t bytes))                                      \
  each(createLayout, cublasLtMatrixLayoutCreate, int,                                                                    \
       (LayoutOfLt * *layout, int type, uint64_t rows, uint64_t columns, int64_t ld))                                    \
  each(destroyLayout, cublasLtMatrixLayoutDestroy, int, (LayoutOfLt * layout))                                           \
  each(setLayout, cublasLtMatrixLayoutSetAttribute, int,                                                                 \
       (LayoutOfLt * layout, int attribute, const void *value, size_t bytes))                                            \
  each(createPreference, cublasLtMatmulPreferenceCreate, int, (PreferenceOfLt * *preference))                            \
  each(destroyPreference, cublasLtMatmulPreferenceDestroy, int, (PreferenceOfLt * preference))                           \
  each(setPreference, cublasLtMatmulPreferenceSetAttribute, int,                                                         \
       (PreferenceOfLt * preference, int attribute, const void *value, size_t bytes))                                    \
  each(heuristic, cublasLtMatmulAlgoGetHeuristic, int,                                                                   \
       (HandleOfLt * handle, OperationOfLt *operation, LayoutOfLt *a, LayoutOfLt *b, LayoutOfLt *c, LayoutOfLt *d,       \
        PreferenceOfLt *preference, int wanted, HeuristicOfLt *found, int *count))                                       \
  each(matmul, cublasLtMatmul, int,                                                                                      \
       (HandleOfLt * handle, OperationOfLt *operation, const void *alpha, const void *a, LayoutOfLt *layoutA,            \
        const void *b, LayoutOfLt *layoutB, const void *beta, const void *c, LayoutOfLt *layoutC, void *d,               \
        LayoutOfLt *layoutD, const AlgorithmOfLt *algorithm, void *workspace, size_t workspaceBytes, void *stream))

struct CublasLt {
#define VWN_FIELD(field, symbol, result, parameters) result(*field) parameters;
  VWN_LT_FUNCTIONS(VWN_FIELD)
#undef VWN_FIELD
};

/**
 * What VWN_CUBLASLT names, else the one of CUDA 13 or 12 that the loader finds; nullptr where there is none, or where it
 * says `none`. @throws std::runtime_error where what it names is not cuBLASLt
 */
const CublasLt *cublasLt();

/** `cuBLASLt 13.1`, or that there is none. */
std::string blasName();

}  // namespace cuda
}  // namespace vwn
