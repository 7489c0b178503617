/** What the addon asks of the library that it is linked with. */
#pragma once
#include <cstddef>
#include <stdexcept>
#include <string>
#include <vector>

#include "vwn_kernels.h"

namespace vwn {

/**
 * Keeps work instead of doing it, to have it done again and again. Between begin() and end(), or abandon(), nothing that
 * functions ask for is done. Failures throw std::runtime_error.
 */
class Recorder {
 public:
  virtual void begin() = 0;
  /** The number of what was kept. */
  virtual int end() = 0;
  virtual void abandon() noexcept = 0;
  /** False, with nothing done, where it must be recorded anew: memory of the library that it uses has moved. */
  virtual bool play(int recording) = 0;
  virtual void release(int recording) = 0;

 protected:
  ~Recorder() = default;
};

struct Library {
  const vwn_entry *entries; /* ends with a null name */
  std::string instructionSet;
  /* those this machine and build have, best first */
  std::vector<std::string> instructionSets;
  /* Whether the host's own instructions read and write the memory of blocks. */
  bool isHostMemory;
  /* nullptr where work is done when it is asked for */
  Recorder *recorder = nullptr;
};

/** e.g. `vwn-cpu`, for texts. */
extern const char *const libraryName;

/** An environment variable says what cannot be: the user's to correct, where another library would hide it. */
class WrongSetting : public std::runtime_error {
  using runtime_error::runtime_error;
};

/** Chooses and opens what functions run on. @throws WrongSetting; std::runtime_error saying what is missing */
Library openLibrary();

/** 64-byte aligned; nullptr when there is no memory. */
void *allocateBlock(size_t bytes);
void freeBlock(void *data, size_t bytes);
/** Only where memory is not the host's. */
void readBlock(void *to, const void *from, size_t bytes);
void writeBlock(void *to, const void *from, size_t bytes);

int threadCount();
void setThreadCount(int threads);
int64_t scratchBytes();

}  // namespace vwn
