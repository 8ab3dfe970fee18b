#include "fiber.h"

#if defined(__x86_64__) && !defined(TRAINFORMER_UCONTEXT)

// Saves what the calling convention makes the callee save. The processor predicts that the return goes to
// where this was called last, and lanes that meet were all left at the same place.
asm(R"(
  .text
  .p2align 4
  .globl emulation_switch_stack
  .hidden emulation_switch_stack
  .type emulation_switch_stack, @function
emulation_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .size emulation_switch_stack, . - emulation_switch_stack
)");

namespace emulation {

void* prepare_stack(char* top, void (*begin)()) {
  constexpr int kSavedRegisters = 6;
  void** stack = reinterpret_cast<void**>(top) - 2;
  stack[0] = reinterpret_cast<void*>(begin);  // where the switch returns to
  stack[1] = nullptr;                         // and where `begin` would return to
  return stack - kSavedRegisters;
}

}  // namespace emulation

#else
#include <ucontext.h>

#include <new>

namespace emulation {

void* prepare_stack(char* top, void (*begin)()) {
  constexpr std::size_t kUsed = 40 * 1024;
  ucontext_t* context = new (top - (sizeof(ucontext_t) + 63) / 64 * 64) ucontext_t;
  getcontext(context);
  context->uc_stack.ss_sp = reinterpret_cast<char*>(context) - kUsed;
  context->uc_stack.ss_size = kUsed;
  context->uc_link = nullptr;
  makecontext(context, begin, 0);
  return context;
}

// The context that is left lies on the stack that is left.
extern "C" void emulation_switch_stack(void** save, void* load) {
  ucontext_t here;
  *save = &here;
  swapcontext(&here, static_cast<ucontext_t*>(load));
}

}  // namespace emulation
#endif
