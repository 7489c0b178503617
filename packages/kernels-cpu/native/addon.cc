/**
 * The boundary to JavaScript, by Node-API only: one addon for every Node version. Arguments of a call stand in one
 * shared Float64Array, so that a call costs one integer: [buffers, numbers, (address, size, type)…, number…].
 */
#include <node_api.h>

#include <atomic>
#include <cstring>
#include <exception>
#include <new>
#include <string>
#include <vector>

#include "dispatch.h"
#include "memory.h"
#include "threads.h"
#include "workspace.h"

namespace {

constexpr size_t argumentCount = size_t{1} << 16;
constexpr size_t maximumBuffers = argumentCount / 4;

const vwn::InstructionSet *chosen = nullptr;
std::vector<vwn_function> functions;
double *arguments = nullptr;
std::vector<vwn_buffer> buffers;

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

napi_value run(napi_env env, napi_callback_info info) {
  double index = -1;
  if (!argument(env, info, index) || !(index >= 0) || index >= static_cast<double>(functions.size()))
    return fail(env, "run: there is no function of this index");
  const double count = arguments[0], numbers = arguments[1];
  if (!(count >= 0) || !(numbers >= 0) || count > maximumBuffers || 2 + 3 * count + numbers > argumentCount)
    return fail(env, "run: the argument array is malformed");
  const auto bufferCount = static_cast<int32_t>(count);
  for (int32_t i = 0; i < bufferCount; i++) {
    const double *each = arguments + 2 + 3 * i;
    buffers[static_cast<size_t>(i)] = {reinterpret_cast<void *>(static_cast<uintptr_t>(each[0])),
                                       static_cast<int64_t>(each[1]), static_cast<int32_t>(each[2])};
  }
  const vwn_call call{buffers.data(), arguments + 2 + 3 * bufferCount, bufferCount, static_cast<int32_t>(numbers)};
  try {
    const char *problem = functions[static_cast<size_t>(index)](&call);
    return problem ? fail(env, problem) : nullptr;
  } catch (const std::bad_alloc &) {
    return fail(env, vwn::outOfMemory);
  } catch (const std::exception &error) {
    return fail(env, error.what());
  }
}

void release(napi_env env, void *data, void *size) {
  const auto bytes = reinterpret_cast<size_t>(size);
  int64_t now;
  napi_adjust_external_memory(env, -static_cast<int64_t>(bytes), &now);
  vwn::freeBlock(data, bytes);
}

/** allocate(bytes) → { buffer, address }, or null when there is no memory. */
napi_value allocate(napi_env env, napi_callback_info info) {
  double wanted = 0;
  if (!argument(env, info, wanted) || !(wanted > 0) || wanted > 9e15) return fail(env, "allocate: a size in bytes is needed");
  const auto bytes = static_cast<size_t>(wanted);
  napi_value result, buffer;
  void *data = vwn::allocateBlock(bytes);
  if (!data) return napi_get_null(env, &result) == napi_ok ? result : nullptr;
  if (napi_create_external_arraybuffer(env, data, bytes, release, reinterpret_cast<void *>(bytes), &buffer) != napi_ok) {
    vwn::freeBlock(data, bytes);
    return fail(env, "allocate: this JavaScript engine does not take external buffers");
  }
  int64_t now;
  napi_adjust_external_memory(env, static_cast<int64_t>(bytes), &now);
  napi_create_object(env, &result);
  napi_set_named_property(env, result, "buffer", buffer);
  napi_set_named_property(env, result, "address", number(env, static_cast<double>(reinterpret_cast<uintptr_t>(data))));
  return result;
}

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
 * Another one is refused until this one has ended.
 */
std::atomic<napi_env> user{nullptr};

bool claim(napi_env env) {
  napi_env nobody = nullptr;
  if (!user.compare_exchange_strong(nobody, env)) return nobody == env;
  return napi_add_env_cleanup_hook(env, [](void *) { user.store(nullptr); }, nullptr) == napi_ok;
}

/** Outlives the thread of Node that it was made for. */
double *argumentArray() {
  if (!arguments) arguments = new double[argumentCount]();
  return arguments;
}

}  // namespace

NAPI_MODULE_INIT() {
  if (!claim(env)) return fail(env, "another thread of this process uses vwn-cpu already: run it in one of them");
  std::string why;
  chosen = vwn::chooseInstructionSet(why);
  if (!chosen) return fail(env, why.c_str());
  functions.clear();
  buffers.resize(maximumBuffers);

  napi_value names, sets, buffer, array;
  napi_create_array(env, &names);
  for (const vwn_entry *entry = chosen->entries; entry->name; entry++) {
    napi_set_element(env, names, static_cast<uint32_t>(functions.size()), text(env, entry->name));
    functions.push_back(entry->run);
  }
  napi_create_array(env, &sets);
  uint32_t count = 0;
  for (const vwn::InstructionSet &set : vwn::instructionSets())
    if (set.runsHere) napi_set_element(env, sets, count++, text(env, set.name));
  napi_create_external_arraybuffer(env, argumentArray(), argumentCount * sizeof(double), nullptr, nullptr, &buffer);
  napi_create_typedarray(env, napi_float64_array, argumentCount, buffer, 0, &array);

  napi_set_named_property(env, exports, "abiVersion", number(env, VWN_ABI_VERSION));
  napi_set_named_property(env, exports, "functions", names);
  napi_set_named_property(env, exports, "instructionSets", sets);
  napi_set_named_property(env, exports, "instructionSet", text(env, chosen->name));
  napi_set_named_property(env, exports, "arguments", array);
  method(env, exports, "run", run);
  method(env, exports, "allocate", allocate);
  method(env, exports, "threads", threads);
  method(env, exports, "setThreads", setThreads);
  method(env, exports, "scratchBytes", scratch);
  return exports;
}
