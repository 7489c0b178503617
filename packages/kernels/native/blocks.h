/**
 * Blocks of memory as JavaScript has them: each is given back once, when its owner says so or, at the latest, when its buffer is
 * collected, which may be long after.
 */
#pragma once
#include <node_api.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <unordered_map>

#include "library.h"

namespace vwn {

class Blocks {
 public:
  explicit Blocks(bool isHostMemory) : isHostMemory_(isHostMemory) {}

  /**
   * What JavaScript sees of a block: its bytes, or, of a device's, an empty buffer that holds the block. Where that fails the block is
   * given back. @throws std::bad_alloc
   */
  napi_status wrap(napi_env env, void *data, size_t bytes, napi_value *buffer) {
    Block *const block = hold(data, bytes);
    countFor(env, static_cast<int64_t>(bytes));
    if (!isHostMemory_) {
      const bool isHeld = napi_create_arraybuffer(env, 0, nullptr, buffer) == napi_ok &&
                          napi_add_finalizer(env, *buffer, data, collected, block, nullptr) == napi_ok;
      return giveBackUnless(isHeld, env, block);
    }
    const napi_status status = napi_create_external_arraybuffer(env, data, bytes, collected, block, buffer);
    // Where Node fails otherwise, for a size that no buffer may have, it calls the finalizer itself, perhaps later.
    return status == napi_no_external_buffers_allowed ? giveBackUnless(false, env, block) : status;
  }

  /** Gives a block back now. Its buffer, if JavaScript still has it, is empty from here on. @returns whether there is such a block */
  bool free(napi_env env, napi_value buffer, void *data) {
    void *there = nullptr;
    size_t bytes = 0;
    if (isHostMemory_ && (napi_get_arraybuffer_info(env, buffer, &there, &bytes) != napi_ok || there != data)) return false;
    Block *const block = find(data);
    if (!block) return false;
    // Detached before the memory is free, for JavaScript must not see it then; Node calls the finalizer in a later turn of its loop.
    if (isHostMemory_ && napi_detach_arraybuffer(env, buffer) != napi_ok) return false;
    giveBack(env, *block);
    return true;
  }

 private:
  struct Block {
    Blocks *of;
    void *data; /* nothing once it has been given back */
    size_t bytes;
  };

  static void collected(napi_env env, void *, void *hint) {
    auto *const block = static_cast<Block *>(hint);
    block->of->giveBack(env, *block);
    delete block;
  }

  static napi_status giveBackUnless(bool isHeld, napi_env env, Block *block) {
    if (!isHeld) collected(env, block->data, block);
    return isHeld ? napi_ok : napi_generic_failure;
  }

  Block *hold(void *data, size_t bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    try {
      auto block = std::make_unique<Block>(Block{this, data, bytes});
      held_[data] = block.get();
      return block.release();
    } catch (const std::bad_alloc &) {
      freeBlock(data, bytes);
      throw;
    }
  }
  Block *find(void *data) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto at = held_.find(data);
    return at == held_.end() ? nullptr : at->second;
  }
  void giveBack(napi_env env, Block &block) {
    if (!block.data) return;
    {
      // Before the memory is free: another block may be there a moment later.
      const std::lock_guard<std::mutex> lock(mutex_);
      held_.erase(block.data);
    }
    countFor(env, -static_cast<int64_t>(block.bytes));
    freeBlock(block.data, block.bytes);
    block.data = nullptr;
  }
  /** What the collector should know of, to be in time. */
  static void countFor(napi_env env, int64_t bytes) {
    int64_t now;
    napi_adjust_external_memory(env, bytes, &now);
  }

  const bool isHostMemory_;
  /** A thread that ends gives its blocks back while the next one has begun. */
  std::mutex mutex_;
  std::unordered_map<void *, Block *> held_;
};

}  // namespace vwn
