/**
 * The boundary to JavaScript, by Node-API only: one addon for every Node version. Every kernel package links it with its
 * own library (library.h). A call stands in one shared Float64Array, so that it costs nothing to pass:
 * [function, buffers, numbers, (address, size, type)…, number…].
 */
#include <node_api.h>

#include <cstring>
#include <exception>
#include <mutex>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "blocks.h"
#include "library.h"

namespace {

constexpr size_t argumentCount = size_t{1} << 16;
/* As many as the argument array has room for: callers then know one limit, the length of the array. */
constexpr size_t maximumBuffers = (argumentCount - 3) / 3;

std::vector<vwn_function> functions;
double *arguments = nullptr;
std::vector<vwn_buffer> buffers;
bool isHostMemory = true;
/* Outlives the thread of Node that it was made for, as finalizers do. */
vwn::Blocks *blocks = nullptr;
vwn::Recorder *recorder = nullptr;

napi_value fail(napi_env env, const char *text) {
  napi_throw_error(env, "VWN_NATIVE", text);
  return nullptr;
}

napi_value text(napi_env env, const char *value) {
  napi_value result;
  return napi_create_string_utf8(env, value, NAPI_AUTO_LENGTH, &result) == napi_ok ? result : nullptr;
}

napi_value number(napi_env env, double value) {
  napi_value result;
  return napi_create_double(env, value, &result) == napi_ok ? result : nullptr;
}

bool argument(napi_env env, napi_callback_info info, double &value) {
  size_t count = 1;
  napi_value values[1];
  return napi_get_cb_info(env, info, &count, values, nullptr, nullptr) == napi_ok && count == 1 &&
         napi_get_value_double(env, values[0], &value) == napi_ok;
}

/**
 * Runs the call [function, buffers, numbers, (address, size, type)…, number…] that begins at `at`, of `room` numbers, and
 * gives its length. Returns null or what went wrong.
 */
const char *runCall(const double *at, size_t room, size_t &length) {
  const double index = room < 3 ? -1 : at[0];
  if (!(index >= 0) || index >= static_cast<double>(functions.size())) return "there is no function of this index: `functions` lists them";
  const double count = at[1], numbers = at[2];
  if (!(count >= 0) || !(numbers >= 0) || count > maximumBuffers || 3 + 3 * count + numbers > static_cast<double>(room))
    return "the argument array is malformed: it is [function, buffers, numbers, (address, size, type)…, number…]";
  const auto bufferCount = static_cast<int32_t>(count);
  for (int32_t i = 0; i < bufferCount; i++) {
    const double *each = at + 3 + 3 * i;
    buffers[static_cast<size_t>(i)] = {reinterpret_cast<void *>(static_cast<uintptr_t>(each[0])),
                                       static_cast<int64_t>(each[1]), static_cast<int32_t>(each[2])};
  }
  const vwn_call call{buffers.data(), at + 3 + 3 * bufferCount, bufferCount, static_cast<int32_t>(numbers)};
  length = static_cast<size_t>(3 + 3 * count + numbers);
  try {
    return functions[static_cast<size_t>(index)](&call);
  } catch (const std::bad_alloc &) {
    return "out of memory: no room for the kernel's scratch; use a smaller batch";
  } catch (const std::exception &error) {
    static std::string text;
    text = error.what();
    return text.c_str();
  }
}

/** run(): the call that stands in the argument array. */
napi_value run(napi_env env, napi_callback_info) {
  size_t length = 0;
  const char *problem = runCall(arguments, argumentCount, length);
  return problem ? fail(env, problem) : nullptr;
}

/** Runs the calls that stand one behind the other in a Float64Array. Says what went wrong, where in the argument array. */
const char *runCalls(napi_env env, napi_callback_info info) {
  size_t count = 1, room = 0, length = 0;
  napi_value values[1];
  napi_typedarray_type type = napi_int8_array;
  void *data = nullptr;
  arguments[0] = -1;
  if (napi_get_cb_info(env, info, &count, values, nullptr, nullptr) != napi_ok || count != 1 ||
      napi_get_typedarray_info(env, values[0], &type, &room, &data, nullptr, nullptr) != napi_ok ||
      type != napi_float64_array)
    return "a Float64Array of calls is needed";
  const double *at = static_cast<const double *>(data);
  for (const double *const end = at + room; at < end; at += length) {
    const char *problem = runCall(at, static_cast<size_t>(end - at), length);
    if (!problem) continue;
    arguments[0] = at[0];
    return problem;
  }
  return nullptr;
}

/** runAll(calls): the function of one that fails is left in the argument array. */
napi_value runAll(napi_env env, napi_callback_info info) {
  const char *problem = runCalls(env, info);
  return problem ? fail(env, problem) : nullptr;
}

/** record(calls) → number: keeps what the calls do. The function of one that fails is left in the argument array, or −1. */
napi_value record(napi_env env, napi_callback_info info) {
  try {
    recorder->begin();
    if (const char *problem = runCalls(env, info)) {
      recorder->abandon();
      return fail(env, problem);
    }
    arguments[0] = -1;
    return number(env, recorder->end());
  } catch (const std::exception &error) {
    arguments[0] = -1;
    return fail(env, error.what());
  }
}

/** play(recording) → whether it was done; else it must be recorded anew. */
napi_value play(napi_env env, napi_callback_info info) {
  double wanted = 0;
  napi_value result;
  arguments[0] = -1;
  if (!argument(env, info, wanted)) return fail(env, "play: the number of a recording is needed");
  try {
    return napi_get_boolean(env, recorder->play(static_cast<int>(wanted)), &result) == napi_ok ? result : nullptr;
  } catch (const std::exception &error) {
    return fail(env, error.what());
  }
}

napi_value releaseRecording(napi_env env, napi_callback_info info) {
  double wanted = 0;
  if (!argument(env, info, wanted)) return fail(env, "release: the number of a recording is needed");
  try {
    recorder->release(static_cast<int>(wanted));
  } catch (const std::exception &error) {
    return fail(env, error.what());
  }
  return nullptr;
}

/** allocate(bytes) → { buffer, address }, or null when there is no memory. */
napi_value allocate(napi_env env, napi_callback_info info) {
  double wanted = 0;
  if (!argument(env, info, wanted) || !(wanted > 0) || wanted > 9e15)
    return fail(env, "allocate: a size in bytes is needed");
  const auto bytes = static_cast<size_t>(wanted);
  napi_value result, buffer;
  void *data = nullptr;
  try {
    data = vwn::allocateBlock(bytes);
    if (!data) return napi_get_null(env, &result) == napi_ok ? result : nullptr;
    if (blocks->wrap(env, data, bytes, &buffer) != napi_ok)
      return fail(env, "allocate: this JavaScript engine takes no external buffer, or none of this size");
  } catch (const std::exception &error) {
    return fail(env, error.what());
  }
  napi_create_object(env, &result);
  napi_set_named_property(env, result, "buffer", buffer);
  napi_set_named_property(env, result, "address", number(env, static_cast<double>(reinterpret_cast<uintptr_t>(data))));
  return result;
}

/** free(buffer, address): gives a block back at once; its buffer becomes empty. */
napi_value freeNow(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value values[2];
  double address = 0;
  if (napi_get_cb_info(env, info, &count, values, nullptr, nullptr) != napi_ok || count != 2 ||
      napi_get_value_double(env, values[1], &address) != napi_ok || !(address > 0) || address > 9e15)
    return fail(env, "free: a block’s buffer and address are needed");
  try {
    if (!blocks->free(env, values[0], reinterpret_cast<void *>(static_cast<uintptr_t>(address))))
      return fail(env, "free: no block has this buffer and address; it has been given back, or belongs to another library");
  } catch (const std::exception &error) {
    return fail(env, error.what());
  }
  return nullptr;
}

/** read(address, into) and write(address, from): all bytes of a Uint8Array. */
napi_value copy(napi_env env, napi_callback_info info, bool isRead) {
  size_t count = 2, bytes = 0;
  napi_value values[2];
  double address = 0;
  napi_typedarray_type type = napi_int8_array;
  void *data = nullptr;
  if (napi_get_cb_info(env, info, &count, values, nullptr, nullptr) != napi_ok || count != 2 ||
      napi_get_value_double(env, values[0], &address) != napi_ok ||
      napi_get_typedarray_info(env, values[1], &type, &bytes, &data, nullptr, nullptr) != napi_ok ||
      type != napi_uint8_array)
    return fail(env, "read, write: an address and a Uint8Array are needed");
  void *const block = reinterpret_cast<void *>(static_cast<uintptr_t>(address));
  try {
    if (bytes > 0 && isRead) vwn::readBlock(data, block, bytes);
    if (bytes > 0 && !isRead) vwn::writeBlock(block, data, bytes);
  } catch (const std::exception &error) {
    return fail(env, error.what());
  }
  return nullptr;
}
napi_value read(napi_env env, napi_callback_info info) { return copy(env, info, true); }
napi_value write(napi_env env, napi_callback_info info) { return copy(env, info, false); }

napi_value threads(napi_env env, napi_callback_info) { return number(env, vwn::threadCount()); }
napi_value scratch(napi_env env, napi_callback_info) { return number(env, static_cast<double>(vwn::scratchBytes())); }

napi_value setThreads(napi_env env, napi_callback_info info) {
  double wanted = 0;
  if (!argument(env, info, wanted) || !(wanted >= 1) || wanted > 256)
    return fail(env, "setThreads: a number of threads from 1 to 256 is needed");
  vwn::setThreadCount(static_cast<int>(wanted));
  return nullptr;
}

void method(napi_env env, napi_value target, const char *name, napi_callback function) {
  napi_value value;
  napi_create_function(env, name, NAPI_AUTO_LENGTH, function, nullptr, &value);
  napi_set_named_property(env, target, name, value);
}

/**
 * The thread of Node that uses the library: arguments, scratch memory and the pool of threads are one for the process.
 * Another one is refused until this one has ended. Node makes an environment of its own for each time that a thread loads
 * the addon; all of one thread share the library, as they take turns.
 */
std::mutex claims;
std::thread::id user;
std::vector<napi_env> environmentsOfUser;

void release(void *env) {
  const std::lock_guard<std::mutex> lock(claims);
  std::erase(environmentsOfUser, static_cast<napi_env>(env));
}
bool claim(napi_env env) {
  const std::lock_guard<std::mutex> lock(claims);
  if (!environmentsOfUser.empty() && user != std::this_thread::get_id()) return false;
  user = std::this_thread::get_id();
  environmentsOfUser.push_back(env);
  return napi_add_env_cleanup_hook(env, release, env) == napi_ok;
}
/** Of an environment whose load failed: a later one must not find it in its way. */
void giveUp(napi_env env) {
  napi_remove_env_cleanup_hook(env, release, env);
  release(env);
}

/** Outlives the thread of Node that it was made for. */
double *argumentArray() {
  if (!arguments) arguments = new double[argumentCount]();
  return arguments;
}

napi_value recordings(napi_env env) {
  napi_value object;
  napi_create_object(env, &object);
  method(env, object, "record", record);
  method(env, object, "play", play);
  method(env, object, "release", releaseRecording);
  return object;
}

/** Everything of the library that stays as it is. */
void describe(napi_env env, napi_value exports, const vwn::Library &library) {
  napi_value names, sets;
  napi_create_array(env, &names);
  functions.clear();
  for (const vwn_entry *entry = library.entries; entry->name; entry++) {
    napi_set_element(env, names, static_cast<uint32_t>(functions.size()), text(env, entry->name));
    functions.push_back(entry->run);
  }
  napi_create_array(env, &sets);
  uint32_t count = 0;
  for (const std::string &each : library.instructionSets) napi_set_element(env, sets, count++, text(env, each.c_str()));
  napi_set_named_property(env, exports, "abiVersion", number(env, VWN_ABI_VERSION));
  napi_set_named_property(env, exports, "functions", names);
  napi_set_named_property(env, exports, "instructionSets", sets);
  napi_set_named_property(env, exports, "instructionSet", text(env, library.instructionSet.c_str()));
}

}  // namespace

NAPI_MODULE_INIT() {
  if (!claim(env)) {
    const std::string text = std::string("another thread of this process uses ") + vwn::libraryName + " already";
    napi_throw_error(env, "VWN_IN_USE", text.c_str());
    return nullptr;
  }
  napi_value buffer, array;
  try {
    const vwn::Library library = vwn::openLibrary();
    isHostMemory = library.isHostMemory;
    if (!blocks) blocks = new vwn::Blocks(isHostMemory);
    recorder = library.recorder;
    describe(env, exports, library);
  } catch (const vwn::WrongSetting &error) {
    giveUp(env);
    napi_throw_error(env, "VWN_SETTING", error.what());
    return nullptr;
  } catch (const std::exception &error) {
    giveUp(env);
    return fail(env, error.what());
  }
  buffers.resize(maximumBuffers);
  napi_create_external_arraybuffer(env, argumentArray(), argumentCount * sizeof(double), nullptr, nullptr, &buffer);
  napi_create_typedarray(env, napi_float64_array, argumentCount, buffer, 0, &array);
  napi_set_named_property(env, exports, "arguments", array);
  method(env, exports, "run", run);
  method(env, exports, "runAll", runAll);
  method(env, exports, "allocate", allocate);
  method(env, exports, "free", freeNow);
  if (!isHostMemory) method(env, exports, "read", read), method(env, exports, "write", write);
  if (recorder) napi_set_named_property(env, exports, "recordings", recordings(env));
  method(env, exports, "threads", threads);
  method(env, exports, "setThreads", setThreads);
  method(env, exports, "scratchBytes", scratch);
  return exports;
}
