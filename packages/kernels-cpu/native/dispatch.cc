#include "dispatch.h"

#include <cstdlib>

#include "amx.h"
#include "library.h"

namespace vwn {

// Which sets a build brings is the build's to say: VWN_BRINGS_… for each.
#if defined(VWN_BRINGS_avx512bf16)
namespace avx512bf16 {
extern const vwn_entry table[];
}
#endif
#if defined(VWN_BRINGS_avx512)
namespace avx512 {
extern const vwn_entry table[];
}
#endif
#if defined(VWN_BRINGS_avx2)
namespace avx2 {
extern const vwn_entry table[];
}
#endif
#if defined(VWN_BRINGS_portable)
namespace portable {
extern const vwn_entry table[];
}
#endif

const std::vector<InstructionSet> &instructionSets() {
  static const std::vector<InstructionSet> sets = [] {
    std::vector<InstructionSet> list;
#if defined(__x86_64__)
    [[maybe_unused]] const bool v4 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                                     __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                                     __builtin_cpu_supports("avx512cd");
#endif
#if defined(VWN_BRINGS_avx512bf16)
    const bool pairs = v4 && __builtin_cpu_supports("avx512bf16");
#if defined(VWN_BRINGS_amx)
    list.push_back({"amx", avx512bf16::table, pairs && amxRunsHere(), true});
#endif
    list.push_back({"avx512bf16", avx512bf16::table, pairs, false});
#endif
#if defined(VWN_BRINGS_avx512)
    list.push_back({"avx512", avx512::table, v4, false});
#endif
#if defined(VWN_BRINGS_avx2)
    list.push_back({"avx2", avx2::table, __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"), false});
#endif
#if defined(VWN_BRINGS_portable)
    list.push_back({"portable", portable::table, true, false});
#endif
    return list;
  }();
  return sets;
}

const InstructionSet &chooseInstructionSet() {
  const char *wanted = std::getenv("VWN_CPU_ISA");
  std::string names;
  for (const InstructionSet &set : instructionSets()) {
    if (set.runsHere && (!wanted || !*wanted || std::string(wanted) == set.name)) return set;
    if (set.runsHere) names += std::string(names.empty() ? "" : ", ") + set.name;
  }
  if (wanted && *wanted)
    throw WrongSetting(std::string("VWN_CPU_ISA asks for ") + wanted +
                       ", which this machine or build does not have, and must be one of " + names +
                       "; correct it, or leave it out to use the best");
  throw std::runtime_error("this build is for other processors: build it again here");
}

}  // namespace vwn
