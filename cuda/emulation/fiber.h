// Stacks, and going from one to another.
#pragma once
#include <cstddef>

namespace emulation {

// A stack on which the first switch enters `begin`, which never returns. `top` is the end of its memory,
// 16-byte aligned. The result is what switch_stack() loads.
void* prepare_stack(char* top, void (*begin)());

// Goes on where `load` was left, after leaving this point in *save.
extern "C" void emulation_switch_stack(void** save, void* load);

}  // namespace emulation
