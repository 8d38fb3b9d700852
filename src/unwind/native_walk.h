/* The native walk: from an interrupted instruction to the thread's root by call-frame tables.
 * May use: unwind/walk.h, unwind/table.h, unwind/table_lookup.h, unwind/x86_64.h.
 * Must not: be called by anything but a host. Runs in BPF and in user space alike.
 *
 * Where code has no call-frame information the frame pointer is used, and the frame is marked
 * approximate. A return address found that way is believed only if it follows a call instruction in
 * executable memory. */
#pragma once

#include "unwind/table.h"
#include "unwind/table_lookup.h"
#include "unwind/walk.h"
#include "unwind/x86_64.h"

/* State of the loop; on the stack, so it must stay small. */
struct native_walk {
    struct walk *w;
    struct table_mapping mapping; /* that holds the present frame's code; start == end when none */
    u32 mappings_at, n_mappings;
    u8 exact;     /* the present pc is an interrupted instruction, not a return address */
    u8 volatiles; /* volatile registers still hold the frame's values */
    u8 end;       /* enum walk_end, once known */
};

/* Finds the mapping of `pc` unless it is the present one. 0, or -1 when there is none. */
static __always_inline int native_enter_mapping(struct native_walk *n, u64 pc) {
    if (pc >= n->mapping.start && pc < n->mapping.end)
        return 0;
    return table_find_mapping(n->w, n->mappings_at, n->n_mappings, pc, &n->mapping);
}

/* saved_at of a register that nobody knows: no address of a program. */
#define NATIVE_UNKNOWN (1ull << 63)

/* Why the value of register r cannot be had. */
static __always_inline int native_no_register(struct native_walk *n, u32 r) {
    if (walk_is_partial(n->w) && r < WALK_REGISTERS && n->w->state->saved_at[r] == NATIVE_UNKNOWN)
        return WALK_END_REGISTERS;
    return WALK_END_FAULT;
}

/* Value of register r in the present frame. 0, or -1 when it cannot be known. */
static __always_inline int native_register(struct native_walk *n, u32 r, u64 *ret) {
    struct walk_state *state = n->w->state;
    if (r >= WALK_REGISTERS)
        return -1;
    u64 at = state->saved_at[r];
    if (walk_is_partial(n->w) && at == NATIVE_UNKNOWN)
        return -1;
    if (at)
        return walk_read(n->w, ret, 8, at) < 0 ? -1 : 0;
    if (!n->volatiles && (ARCH_VOLATILE_REGISTERS >> r & 1))
        return -1;
    *ret = state->regs.value[r];
    return 0;
}

/* Whether `pc` can be a return address: executable, and after a call instruction. */
static __always_inline int native_plausible_return(struct native_walk *n, u64 pc) {
    struct table_mapping m;
    u64 before;
    if (pc < 4096 || table_find_mapping(n->w, n->mappings_at, n->n_mappings, pc - 1, &m) < 0)
        return 0;
    if (walk_read(n->w, &before, 8, pc - 8) < 0)
        return 0;
    return arch_follows_call(before);
}

struct native_step {
    u64 cfa, pc;
    u32 flags; /* enum raw_native_flags of the present frame */
};

/* The caller by frame pointer, or, in the interrupted frame, by the word at the stack pointer: a
 * function that has not yet pushed anything. */
static __always_inline int native_by_frame_pointer(struct native_walk *n, struct native_step *step) {
    struct walk_state *state = n->w->state;
    u64 sp = state->regs.value[ARCH_STACK_POINTER], fp, pair[2];
    step->flags |= RAW_APPROXIMATE;
    if (n->exact) {
        u64 pc;
        if (walk_read(n->w, &pc, 8, sp) >= 0 && native_plausible_return(n, pc)) {
            step->cfa = sp + 8;
            step->pc = pc;
            return WALK_END_NONE;
        }
    }
    if (native_register(n, ARCH_FRAME_POINTER, &fp) < 0)
        return native_no_register(n, ARCH_FRAME_POINTER);
    if (fp == 0) /* by convention the outermost frame clears it */
        return WALK_END_ROOT;
    if (fp < sp || (fp & 7) || walk_read(n->w, pair, 16, fp) < 0)
        return WALK_END_NO_RULE;
    if (pair[1] == 0)
        return WALK_END_ROOT;
    if (!native_plausible_return(n, pair[1]))
        return WALK_END_NO_RULE;
    state->saved_at[ARCH_FRAME_POINTER] = fp;
    step->cfa = fp + 16;
    step->pc = pair[1];
    return WALK_END_NONE;
}

static __always_inline int native_cfa(struct native_walk *n, const struct unwind_rule *rule, u64 *ret) {
    u64 base;
    if (rule->kind == RULE_CFA_PLT) {
        u64 pc = n->w->state->regs.value[ARCH_PC];
        *ret = n->w->state->regs.value[ARCH_STACK_POINTER] + 8 + ((pc & 15) >= (u64)rule->cfa_offset ? 8 : 0);
        return WALK_END_NONE;
    }
    if (native_register(n, rule->cfa_reg, &base) < 0)
        return native_no_register(n, rule->cfa_reg);
    base += (s64)rule->cfa_offset;
    if (rule->kind == RULE_CFA_DEREF) {
        if (walk_read(n->w, &base, 8, base) < 0)
            return WALK_END_FAULT;
        base += (s64)rule->cfa_add;
    }
    *ret = base;
    return WALK_END_NONE;
}

/* Notes where the caller's values of the callee-saved registers lie. */
static __always_inline void native_locate_saved(struct native_walk *n, const struct unwind_rule *rule, u64 base) {
    static const u8 registers[RULE_SAVED] = RULE_SAVED_REGISTERS;
    WALK_UNROLL
    for (int i = 0; i < RULE_SAVED; i++)
        if (rule->saved[i] != RULE_NOT_SAVED)
            n->w->state->saved_at[registers[i]] = base + (u64)((s64)rule->saved[i] * 8);
}

static __always_inline int native_by_rule(struct native_walk *n, const struct unwind_rule *rule,
                                          struct native_step *step) {
    int end = native_cfa(n, rule, &step->cfa);
    if (end)
        return end;
    u64 base = step->cfa;
    if ((rule->flags & RULE_SAVED_FROM_RBP) && native_register(n, ARCH_FRAME_POINTER, &base) < 0)
        return native_no_register(n, ARCH_FRAME_POINTER);
    if (rule->flags & RULE_RA_IN_REGISTER) {
        if (native_register(n, rule->ra_reg, &step->pc) < 0)
            return native_no_register(n, rule->ra_reg);
    } else if (walk_read(n->w, &step->pc, 8, step->cfa + (u64)(s64)rule->ra_offset) < 0) {
        return WALK_END_FAULT;
    }
    native_locate_saved(n, rule, base);
    return WALK_END_NONE;
}

/* A signal trampoline: every register of the interrupted frame is in memory. */
static __always_inline int native_by_signal(struct native_walk *n, struct native_step *step) {
    struct walk_state *state = n->w->state;
    u64 sp = state->regs.value[ARCH_STACK_POINTER];
    step->flags |= RAW_SIGNAL;
    step->cfa = sp;
    if (walk_read(n->w, state->scratch, 8 * ARCH_SIGNAL_REGS, sp + ARCH_SIGNAL_REGS_OFFSET) < 0)
        return WALK_END_FAULT;
    arch_signal_regs(state->scratch, &state->regs);
    WALK_UNROLL
    for (int r = 0; r < WALK_REGISTERS; r++)
        state->saved_at[r] = 0;
    n->exact = 1;
    n->volatiles = 1;
    return WALK_END_NONE;
}

/* Makes the caller the present frame. */
static __always_inline int native_advance(struct native_walk *n, const struct native_step *step) {
    struct walk_state *state = n->w->state;
    u64 sp = state->regs.value[ARCH_STACK_POINTER];
    /* An interrupted function may have popped its return address into a register (vfork). */
    if (step->cfa < sp || (step->cfa == sp && !n->volatiles))
        return WALK_END_LOOP;
    state->regs.value[ARCH_STACK_POINTER] = step->cfa;
    state->regs.value[ARCH_PC] = step->pc;
    n->exact = 0;
    n->volatiles = 0;
    return step->pc ? WALK_END_NONE : WALK_END_ROOT;
}

/* How to leave the present frame, and whether that is by signal. Returns enum walk_end. */
static __always_inline int native_leave(struct native_walk *n, u64 at, struct native_step *step) {
    const struct unwind_rule *rule = NULL;
    if (n->mapping.flags & TABLE_MAPPING_LOADED)
        rule = table_find_rule(n->w, &n->mapping, at);
    else if (!(n->mapping.flags & (TABLE_MAPPING_NO_TABLE | TABLE_MAPPING_ANONYMOUS)))
        return WALK_END_NO_TABLE;
    if (!rule || rule->kind == RULE_NONE)
        return native_by_frame_pointer(n, step);
    if (rule->kind == RULE_ROOT)
        return WALK_END_ROOT;
    if (rule->kind == RULE_SIGNAL)
        return native_by_signal(n, step);
    return native_by_rule(n, rule, step);
}

/* One frame: find its code, find its caller, emit it, go to the caller. */
static long native_step(u32 i, void *arg) {
    struct native_walk *n = arg;
    u64 pc = n->w->state->regs.value[ARCH_PC];
    u64 at = n->exact ? pc : pc - 1;
    struct native_step step = {.flags = n->exact ? RAW_EXACT : 0};
    int end;
    if (native_enter_mapping(n, at) < 0)
        end = WALK_END_UNMAPPED;
    else
        end = native_leave(n, at, &step);
    walk_emit(n->w, RAW_NATIVE, pc, (step.cfa & ~(u64)RAW_FLAGS) | step.flags);
    if (end == WALK_END_NONE && !(step.flags & RAW_SIGNAL))
        end = native_advance(n, &step);
    n->end = (u8)end;
    return end != WALK_END_NONE;
}

/* Walks from w->state->leaf to the root into a new stream. `exact` is 0 when the leaf's pc is a
 * return address of sorts: after a system call instruction. Returns enum walk_end. */
static __always_inline int native_walk(struct walk *w, u32 mappings_at, u32 n_mappings, u8 exact) {
    struct native_walk n = {.w = w,
                            .mappings_at = mappings_at,
                            .n_mappings = n_mappings,
                            .exact = exact,
                            .volatiles = 1,
                            .end = WALK_END_LIMIT};
    w->state->regs = w->state->leaf;
    WALK_UNROLL
    for (u32 r = 0; r < WALK_REGISTERS; r++)
        w->state->saved_at[r] = walk_is_partial(w) && r != ARCH_STACK_POINTER && r != ARCH_PC ? NATIVE_UNKNOWN : 0;
    if (walk_begin(w->stack, 0, &w->stream) < 0)
        return WALK_END_NONE;
    walk_loop(WALK_MAX_STEPS, native_step, &n);
    /* The last step leaves WALK_END_NONE behind when the loop ran out of steps. */
    u8 end = n.end == WALK_END_NONE ? WALK_END_LIMIT : n.end;
    walk_finish(w, end);
    return end;
}
