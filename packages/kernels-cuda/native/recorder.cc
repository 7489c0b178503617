#include "recorder.h"

#include <cstdlib>
#include <cstring>
#include <map>
#include <stdexcept>
#include <string>

#include "runtime.h"

namespace vwn {
namespace cuda {
namespace {

struct Recording {
  Graph *graph;
  /* scratchMoves() when it was made: it holds addresses of scratch memory */
  int64_t moves;
};

std::runtime_error failure(const char *what, const std::exception &error) {
  return std::runtime_error(std::string(what) + ": " + error.what() + "; VWN_CUDA_GRAPHS=0 does without graphs");
}

class Graphs final : public Recorder {
 public:
  void begin() override {
    try {
      beginGraph();
    } catch (const std::exception &error) {
      throw failure("no CUDA graph can be begun", error);
    }
  }

  int end() override {
    try {
      recordings_[++last_] = {endGraph(), scratchMoves()};
    } catch (const std::exception &error) {
      throw failure("no CUDA graph can be made of the calls", error);
    }
    return last_;
  }

  void abandon() noexcept override { abandonGraph(); }

  bool play(int number) override {
    const Recording recording = at(number);
    if (recording.moves != scratchMoves()) return false;
    launchGraph(*recording.graph);
    return true;
  }

  void release(int number) override {
    freeGraph(at(number).graph);
    recordings_.erase(number);
  }

 private:
  Recording at(int number) const {
    const auto found = recordings_.find(number);
    if (found == recordings_.end()) throw std::runtime_error("there is no recording " + std::to_string(number));
    return found->second;
  }

  std::map<int, Recording> recordings_;
  int last_ = 0;
};

}  // namespace

Recorder *recorder() {
  static Graphs *const only = new Graphs;
  const char *wanted = std::getenv("VWN_CUDA_GRAPHS");
  return wanted && std::strcmp(wanted, "0") == 0 ? nullptr : only;
}

}  // namespace cuda
}  // namespace vwn
