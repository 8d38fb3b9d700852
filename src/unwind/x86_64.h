/* Everything the native walk knows of x86-64: register numbers, the signal frame, call instructions.
 * Sources: System V ABI AMD64 (DWARF register numbers, figure 3.36); Linux arch/x86 uapi
 * asm/sigcontext.h and asm/ucontext.h (struct ucontext, REG_* order of gregs).
 * May use: unwind/walk.h.
 * Must not: hold anything another architecture would share. aarch64 gets a sibling of this file. */
#pragma once

#include "unwind/walk.h"

enum {
    ARCH_RESULT = 0, /* rax: of a system call */
    REG_RDX_ = 1,
    REG_RCX_ = 2,
    REG_RBX_ = 3,
    REG_RSI_ = 4,
    REG_RDI_ = 5,
    ARCH_FRAME_POINTER = 6, /* rbp */
    ARCH_STACK_POINTER = 7, /* rsp */
    REG_R12_ = 12,
    ARCH_PC = 16, /* the return address column stands for rip */
};

/* Bit r is set when the ABI lets a callee destroy register r: such values are known only in the
 * interrupted frame itself. */
#define ARCH_VOLATILE_REGISTERS                                                                                        \
    (1u << 0 | 1u << 1 | 1u << 2 | 1u << 4 | 1u << 5 | 1u << 8 | 1u << 9 | 1u << 10 | 1u << 11)

/* At a signal trampoline rsp points at struct ucontext; uc_mcontext.gregs is 40 bytes in. */
enum { ARCH_SIGNAL_REGS_OFFSET = 40, ARCH_SIGNAL_REGS = 17 };

/* gregs order: r8-r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip. */
static __always_inline void arch_signal_regs(const u64 *gregs, struct walk_regs *ret) {
    ret->value[0] = gregs[13];
    ret->value[1] = gregs[12];
    ret->value[2] = gregs[14];
    ret->value[3] = gregs[11];
    ret->value[4] = gregs[9];
    ret->value[5] = gregs[8];
    ret->value[6] = gregs[10];
    ret->value[7] = gregs[15];
    ret->value[8] = gregs[0];
    ret->value[9] = gregs[1];
    ret->value[10] = gregs[2];
    ret->value[11] = gregs[3];
    ret->value[12] = gregs[4];
    ret->value[13] = gregs[5];
    ret->value[14] = gregs[6];
    ret->value[15] = gregs[7];
    ret->value[16] = gregs[16];
}

/* Whether the 8 bytes before an address end in a call instruction: e8 rel32, or ff /2 with any
 * addressing form (2, 3, 4, 6 or 7 bytes). `before` holds them little-endian: the byte just before
 * the address is the most significant. */
static __always_inline int arch_follows_call(u64 before) {
#define BYTE_BACK(n) ((u8)(before >> (64 - 8 * (n))))
    if (BYTE_BACK(5) == 0xe8)
        return 1;
    if (BYTE_BACK(2) == 0xff && (BYTE_BACK(1) & 0x38) == 0x10)
        return 1;
    if (BYTE_BACK(3) == 0xff && (BYTE_BACK(2) & 0x38) == 0x10)
        return 1;
    if (BYTE_BACK(4) == 0xff && (BYTE_BACK(3) & 0x38) == 0x10)
        return 1;
    if (BYTE_BACK(6) == 0xff && (BYTE_BACK(5) & 0x38) == 0x10)
        return 1;
    return BYTE_BACK(7) == 0xff && (BYTE_BACK(6) & 0x38) == 0x10;
#undef BYTE_BACK
}

/* Whether the code behind a return address only returns, from a function that did nothing but align the stack and call:
 * add $8, %rsp; ret. `code` holds its first bytes. */
static __always_inline int arch_is_trampoline(u64 code) {
    return (code & 0xffffffffff) == 0xc308c48348;
}

/* Code behind a return address that gives the caller of its function back what it saved, and returns: add $n,%rsp or
 * nothing; pop %rbx, %r12, %r13, %r14, %r15; pop %rbp or nothing; ret. Before that a compiler leaves the stack pointer
 * alone. The first pop is at `code`; 8 bytes before it can be read and 16 from it on. */
struct arch_restore {
    u32 skipped; /* bytes between the stack pointer and rbx, followed by r12 to r15 */
    u32 popped;  /* registers, 5 or with rbp 6; 0: it is other code */
};

static __always_inline struct arch_restore arch_restores(const u8 *code) {
    static const u8 pops[] = {0x5b, 0x41, 0x5c, 0x41, 0x5d, 0x41, 0x5e, 0x41, 0x5f};
    struct arch_restore ret = {0, 0};
    u32 differ = 0;
    WALK_UNROLL
    for (u32 i = 0; i < sizeof(pops); i++)
        differ |= code[i] ^ pops[i];
    if (differ)
        return ret;
    if (code[-4] == 0x48 && code[-3] == 0x83 && code[-2] == 0xc4)
        ret.skipped = code[-1] & 0x78;
    if (code[9] == 0xc3)
        ret.popped = 5;
    else if (code[9] == 0x5d && code[10] == 0xc3)
        ret.popped = 6;
    return ret;
}
