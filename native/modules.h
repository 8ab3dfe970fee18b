// Modules of other devices, loaded from files of their own.
#pragma once
#include <memory>
#include <string>

#include "arena.h"
#include "device_module.h"

// Loads the module once for the process. Throws EngineError ERR_NO_DEVICE with what the system says.
const DeviceModule& load_module(const std::string& path);

std::unique_ptr<MemorySource> device_memory(const DeviceModule& module, DeviceSession* session,
                                            const DeviceFacts& facts);
