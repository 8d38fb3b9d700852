/* The native walk: from an interrupted instruction to the thread's root by call-frame tables.
 * May use: unwind/walk.h, unwind/table.h, unwind/table_lookup.h, unwind/x86_64.h.
 * Must not: be called by anything but a host. Runs in BPF and in user space alike.
 *
 * Where code has no call-frame information the frame pointer is used, and the frame is marked
 * approximate. A return address found that way is believed only if it follows a call instruction in
 * executable memory.
 *
 * Generated code may use the frame pointer for anything. But what enters it is a stub that saves its caller's
 * registers, calls, restores them and returns: its code says where they are. */
#pragma once

#include "unwind/table.h"
#include "unwind/table_lookup.h"
#include "unwind/walk.h"
#include "unwind/x86_64.h"

/* State of the loop. In the walk's own memory, where runtimes keep theirs later: on BPF's stack the verifier
 * would follow every value that a slot can have. */
struct native_state {
    struct table_mapping mapping; /* that holds the present frame's code; start == end when none */
    u64 cfa, pc;                  /* of the caller, found from the present frame */
    u32 flags;                    /* enum raw_native_flags of the present frame */
    u32 mappings_at, n_mappings;  /* of the process: see struct table_process */
    u8 exact;                     /* the present pc is an interrupted instruction, not a return address */
    u8 volatiles;                 /* volatile registers still hold the frame's values */
    u8 end;                       /* enum walk_end, once known */
    u8 popped, skipped;           /* of a stub's code: struct arch_restore */
    u8 chained; /* the present frame was found by a frame pointer, so that its own means what it says */
};
_Static_assert(sizeof(struct table_mapping) == sizeof(((struct walk_state *)0)->leaf_mapping), "lies there");
_Static_assert(sizeof(struct native_state) <= sizeof(((struct walk_state *)0)->runtime), "lies there");

enum { NATIVE_AT_ONCE = 4 }; /* plain frames in one step */

struct native_walk {
    struct walk *w;
    struct native_state *s;
};

/* Finds the mapping of `pc` unless it is the present one. 0, or -1 when there is none. */
static __always_inline int native_enter_mapping(struct native_walk *n, u64 pc) {
    if (pc >= n->s->mapping.start && pc < n->s->mapping.end)
        return 0;
    const struct table_mapping *m = table_find_mapping(n->w, n->s->mappings_at, n->s->n_mappings, pc);
    if (!m)
        return -1;
    n->s->mapping = *m;
    return 0;
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
        return walk_stack_word(n->w, at, ret) < 0 ? -1 : 0;
    if (!n->s->volatiles && (ARCH_VOLATILE_REGISTERS >> r & 1))
        return -1;
    *ret = state->regs.value[r];
    return 0;
}

enum native_return { NATIVE_NO_CODE, NATIVE_NO_CALL, NATIVE_AFTER_CALL };

/* What `pc` would be as a return address. */
static __always_inline enum native_return native_return_to(struct native_walk *n, u64 pc) {
    u64 before;
    if (pc < 4096 || !table_find_mapping(n->w, n->s->mappings_at, n->s->n_mappings, pc - 1))
        return NATIVE_NO_CODE;
    if (walk_read(n->w, &before, 8, pc - 8) < 0)
        return NATIVE_NO_CODE;
    return arch_follows_call(before) ? NATIVE_AFTER_CALL : NATIVE_NO_CALL;
}

/* Whether `pc` can be a return address: executable, and after a call instruction. */
static __always_inline int native_plausible_return(struct native_walk *n, u64 pc) {
    return native_return_to(n, pc) == NATIVE_AFTER_CALL;
}

/* The caller by frame pointer, or, in the interrupted frame, by the word at the stack pointer: a
 * function that has not yet pushed anything. */
static __always_inline int native_by_frame_pointer(struct native_walk *n) {
    struct walk_state *state = n->w->state;
    u64 sp = state->regs.value[ARCH_STACK_POINTER], fp, pc;
    n->s->flags |= RAW_APPROXIMATE;
    if (n->s->exact) {
        if (walk_stack_word(n->w, sp, &pc) >= 0 && native_plausible_return(n, pc)) {
            n->s->cfa = sp + 8;
            n->s->pc = pc;
            return WALK_END_NONE;
        }
    }
    if (native_register(n, ARCH_FRAME_POINTER, &fp) < 0)
        return native_no_register(n, ARCH_FRAME_POINTER);
    /* By convention the outermost frame clears it; but so it is in all of a thread whose code uses it for other things. */
    u8 chained = n->s->chained;
    if (fp == 0)
        return chained ? WALK_END_ROOT : WALK_END_NO_RULE;
    if (fp < sp || (fp & 7) || walk_stack_word(n->w, fp + 8, &pc) < 0)
        return WALK_END_NO_RULE;
    if (pc == 0)
        return chained ? WALK_END_ROOT : WALK_END_NO_RULE;
    /* Nobody called the outermost function of a goroutine: it returns to where it would be ended. */
    enum native_return back = native_return_to(n, pc);
    u64 outer = 1;
    if (back == NATIVE_NO_CALL && chained)
        walk_stack_word(n->w, fp, &outer);
    if (back != NATIVE_AFTER_CALL && outer != 0)
        return WALK_END_NO_RULE;
    n->s->chained = 2; /* see native_advance() */
    state->saved_at[ARCH_FRAME_POINTER] = fp;
    n->s->cfa = fp + 16;
    n->s->pc = pc;
    return WALK_END_NONE;
}

enum {
    NATIVE_STUB_WORDS = 24, /* of the stack, that generated code may have put on it since it was entered */
    NATIVE_STUB_CODE =
        64, /* bytes of a stub's code, from where the entered code returns to the first restored register */
};

/* Looks whether a stub's registers are restored at byte i of its code, which is in scratch from 8 bytes before on. */
static long native_restore_step(u32 i, void *arg) {
    struct native_walk *n = arg;
    const u8 *code = (const u8 *)n->w->state->scratch + 8 + (i & (NATIVE_STUB_CODE - 1));
    struct arch_restore found = arch_restores(code);
    n->s->popped = (u8)found.popped;
    n->s->skipped = i ? (u8)found.skipped : 0;
    return found.popped != 0;
}

/* Whether `pc`, which the stack holds right below `sp`, is where a stub goes on when the code that it entered returns.
 * Then the stub's caller is the present frame's. */
static __always_inline int native_is_stub(struct native_walk *n, u64 pc, u64 sp) {
    struct walk_state *state = n->w->state;
    if (pc < 4096)
        return 0;
    const struct table_mapping *m = table_find_mapping(n->w, n->s->mappings_at, n->s->n_mappings, pc - 1);
    if (!m || !(m->flags & TABLE_MAPPING_ANONYMOUS) ||
        walk_read(n->w, state->scratch, 8 + NATIVE_STUB_CODE + 16, pc - 8) < 0 || !arch_follows_call(state->scratch[0]))
        return 0;
    n->s->popped = 0;
    walk_loop(NATIVE_STUB_CODE, native_restore_step, n);
    u64 saved = sp + n->s->skipped, back = saved + 8 * (u64)n->s->popped;
    if (!n->s->popped || walk_stack_word(n->w, back, &n->s->pc) < 0 || !native_plausible_return(n, n->s->pc))
        return 0;
    n->s->cfa = back + 8;
    state->saved_at[REG_RBX_] = saved;
    WALK_UNROLL
    for (u32 r = 0; r < 4; r++)
        state->saved_at[REG_R12_ + r] = saved + 8 * (u64)(r + 1);
    if (n->s->popped > 5)
        state->saved_at[ARCH_FRAME_POINTER] = saved + 40;
    else if (sp > state->regs.value[ARCH_STACK_POINTER] + 8) /* the code that was entered saves it first, if at all */
        state->saved_at[ARCH_FRAME_POINTER] = sp - 16;
    return 1;
}

/* Looks at the present code itself, then at one word of the stack after the other; stops where a stub is found, or the
 * stack ends. */
static long native_stub_step(u32 i, void *arg) {
    struct native_walk *n = arg;
    u64 pc = n->w->state->regs.value[ARCH_PC], above = n->w->state->regs.value[ARCH_STACK_POINTER] + 8 * (u64)i;
    if (i == 0 && n->s->exact)
        return 0;
    if (i && walk_stack_word(n->w, above - 8, &pc) < 0)
        return 1;
    return native_is_stub(n, pc, above);
}

/* Whether the present frame is a trampoline's: CPython generates one for every function with -X perf, without a frame
 * pointer through 3.13. */
static __always_inline int native_by_trampoline(struct native_walk *n) {
    const struct walk_regs *regs = &n->w->state->regs;
    u64 sp = regs->value[ARCH_STACK_POINTER], code;
    if (n->s->exact || walk_read(n->w, &code, 8, regs->value[ARCH_PC]) < 0 || !arch_is_trampoline(code) ||
        walk_stack_word(n->w, sp + 8, &n->s->pc) < 0 || !native_plausible_return(n, n->s->pc))
        return 0;
    n->s->cfa = sp + 16;
    return 1;
}

/* Code without a rule. */
static __always_inline int native_without_rule(struct native_walk *n, u64 at) {
    if (native_by_trampoline(n))
        return WALK_END_NONE;
    int end = native_by_frame_pointer(n);
    if ((end != WALK_END_NO_RULE && end != WALK_END_ROOT) || native_enter_mapping(n, at) < 0 ||
        !(n->s->mapping.flags & TABLE_MAPPING_ANONYMOUS))
        return end;
    n->s->cfa = 0;
    walk_loop(NATIVE_STUB_WORDS + 1, native_stub_step, n);
    return n->s->cfa ? WALK_END_NONE : end;
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
        if (walk_stack_word(n->w, base, &base) < 0)
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

/* Whether a thread that is about to leave the system call which makes threads is the new one: the kernel gives it
 * 0, in both as soon as they can be seen. Who is held up in the kernel so that no register can be read is the
 * other, which waits for it; a new one has no return address. */
static __always_inline int native_is_new(struct native_walk *n) {
    u64 word;
    if (walk_is_partial(n->w))
        return walk_stack_word(n->w, n->w->state->regs.value[ARCH_STACK_POINTER], &word) < 0 ||
               !native_plausible_return(n, word);
    return native_register(n, ARCH_RESULT, &word) == 0 && word == 0;
}

static __always_inline int native_by_rule(struct native_walk *n, const struct unwind_rule *rule) {
    if ((rule->flags & RULE_ENDS_IF_NEW) && native_is_new(n))
        return WALK_END_ROOT;
    int end = native_cfa(n, rule, &n->s->cfa);
    if (end)
        return end;
    u64 base = n->s->cfa;
    if ((rule->flags & RULE_SAVED_FROM_RBP) && native_register(n, ARCH_FRAME_POINTER, &base) < 0)
        return native_no_register(n, ARCH_FRAME_POINTER);
    if (rule->flags & RULE_RA_IN_REGISTER) {
        if (native_register(n, rule->ra_reg, &n->s->pc) < 0)
            return native_no_register(n, rule->ra_reg);
    } else if (walk_stack_word(n->w, n->s->cfa + (u64)(s64)rule->ra_offset, &n->s->pc) < 0) {
        return WALK_END_FAULT;
    }
    native_locate_saved(n, rule, base);
    return WALK_END_NONE;
}

/* A signal trampoline: every register of the interrupted frame is in memory. */
static __always_inline int native_by_signal(struct native_walk *n) {
    struct walk_state *state = n->w->state;
    u64 sp = state->regs.value[ARCH_STACK_POINTER];
    n->s->flags |= RAW_SIGNAL;
    n->s->cfa = sp;
    if (walk_read(n->w, state->scratch, 8 * ARCH_SIGNAL_REGS, sp + ARCH_SIGNAL_REGS_OFFSET) < 0)
        return WALK_END_FAULT;
    arch_signal_regs(state->scratch, &state->regs);
    WALK_UNROLL
    for (int r = 0; r < WALK_REGISTERS; r++)
        state->saved_at[r] = 0;
    n->s->exact = 1;
    n->s->volatiles = 1;
    return WALK_END_NONE;
}

/* Makes the caller the present frame. */
static __always_inline int native_advance(struct native_walk *n) {
    struct walk_state *state = n->w->state;
    u64 sp = state->regs.value[ARCH_STACK_POINTER];
    /* An interrupted function may have popped its return address into a register (vfork). */
    if (n->s->cfa < sp || (n->s->cfa == sp && !n->s->volatiles))
        return WALK_END_LOOP;
    state->regs.value[ARCH_STACK_POINTER] = n->s->cfa;
    state->regs.value[ARCH_PC] = n->s->pc;
    n->s->exact = 0;
    n->s->volatiles = 0;
    n->s->chained >>= 1;
    return n->s->pc ? WALK_END_NONE : WALK_END_ROOT;
}

/* Where rules for the return address at + 1 are remembered: WALK_KNOWN_WAYS of them. */
static __always_inline struct walk_known *native_known(struct native_walk *n, u64 at) {
    u32 slot = (u32)(at * 0x9e3779b97f4a7c15ull >> 32);
    WALK_OPAQUE(slot);
    return n->w->state->known[slot & (WALK_KNOWN - 1)];
}

/* Index of the rule that is remembered for the return address at + 1, TABLE_RULE_LATER when none is. */
static __always_inline u32 native_recall(struct native_walk *n, u64 at, u64 when) {
    const struct walk_known *known = native_known(n, at);
    u64 differs = known->at ^ at, minus = 0 - differs;
    WALK_OPAQUE(minus); /* no branch: the verifier would follow both ways for each frame */
    known += (differs | minus) >> 63;
    return at && known->at == at && known->rule >> 16 == when >> 16 ? (u32)known->rule & 0xffff : TABLE_RULE_LATER;
}

static __always_inline void native_remember(struct native_walk *n, u64 at, u64 rule) {
    struct walk_known *known = native_known(n, at);
    known[1] = known[0];
    known[0] = (struct walk_known){.at = at, .rule = rule};
}

/* The same for an interrupted instruction. */
static __always_inline struct walk_span *native_span(struct native_walk *n, u64 at) {
    u32 slot = (u32)(at >> WALK_SPAN_SHIFT);
    WALK_OPAQUE(slot);
    return &n->w->state->spans[slot & (WALK_SPANS - 1)];
}

/* What rules that are remembered belong to, in the bits that their index leaves. */
static __always_inline u64 native_when(const struct native_walk *n) {
    return ((u64)n->s->mappings_at << WALK_EPOCH_BITS | n->w->state->epoch) << 16;
}

/* Programs are interrupted in few mappings. */
static __always_inline int native_enter_leaf(struct native_walk *n, u64 pc, u64 when) {
    struct walk_state *state = n->w->state;
    struct table_mapping *last = (struct table_mapping *)state->leaf_mapping;
    if (state->leaf_when != when || pc < last->start || pc >= last->end) {
        const struct table_mapping *m = table_find_mapping(n->w, n->s->mappings_at, n->s->n_mappings, pc);
        if (!m)
            return -1;
        *last = *m;
        state->leaf_when = when;
    }
    n->s->mapping = *last;
    return 0;
}

/* Looks the rule for the code at `at` up in the tables; 0 when there is none. Returns WALK_END_NONE, or what ends the
 * walk. */
static __always_inline int native_look_up(struct native_walk *n, u64 at, struct walk_span *span, u32 *ret) {
    struct native_state *s = n->s;
    *ret = 0;
    if ((s->exact ? native_enter_leaf(n, at, native_when(n)) : native_enter_mapping(n, at)) < 0)
        return WALK_END_UNMAPPED;
    if (s->mapping.flags & TABLE_MAPPING_LOADED)
        *ret = table_find_rule_index(n->w, &s->mapping, at, span);
    else if (!(s->mapping.flags & (TABLE_MAPPING_NO_TABLE | TABLE_MAPPING_ANONYMOUS)))
        return WALK_END_NO_TABLE;
    return *ret == TABLE_RULE_LATER ? WALK_END_NO_TABLE : WALK_END_NONE;
}

/* The rule for the code at `at`, 0 when there is none. Returns WALK_END_NONE, or what ends the walk. */
static __always_inline int native_find_rule(struct native_walk *n, u64 at, u32 *ret) {
    u64 when = native_when(n);
    struct walk_span *span = native_span(n, at), found = {0};
    u32 known = TABLE_RULE_LATER;
    if (!n->s->exact)
        known = native_recall(n, at, when);
    else if (at >= span->start && at < span->end && span->rule >> 16 == when >> 16)
        known = (u32)span->rule & 0xffff;
    if (known != TABLE_RULE_LATER) {
        *ret = known;
        return WALK_END_NONE;
    }
    int end = native_look_up(n, at, &found, ret);
    if (end)
        return end;
    found.rule = when | *ret;
    if (n->s->exact)
        *span = found;
    else
        native_remember(n, at, found.rule);
    return WALK_END_NONE;
}

/* How to leave the present frame, and whether that is by signal. Returns enum walk_end. */
static __always_inline int native_leave(struct native_walk *n, u64 at) {
    u32 index;
    int end = native_find_rule(n, at, &index);
    if (end)
        return end;
    const struct unwind_rule *rule = table_rule(n->w, index);
    if (!rule || rule->kind == RULE_NONE)
        return native_without_rule(n, at);
    if (rule->kind == RULE_ROOT)
        return WALK_END_ROOT;
    if (rule->kind == RULE_SIGNAL)
        return native_by_signal(n);
    return native_by_rule(n, rule);
}

/* The value that the frame at hand has in `reg`, as long as the window holds it; else 0. */
static __always_inline u64 native_known_base(struct native_walk *n, u32 reg) {
    const struct walk_state *state = n->w->state;
    if (reg == ARCH_STACK_POINTER)
        return state->regs.value[ARCH_STACK_POINTER];
    u64 at = state->saved_at[ARCH_FRAME_POINTER], offset = at - state->window_at;
    return reg == ARCH_FRAME_POINTER && walk_window_holds_word(offset) ? walk_window_word(state, offset) : 0;
}

/* Walks callers as long as nothing is special about them: their rules are remembered and say what most rules say, and
 * the window holds their return addresses. Of a deep stack most are such. Whatever else there is, native_leave() sees. */
static __always_inline void native_plain_frames(struct native_walk *n) {
    struct walk_state *state = n->w->state;
    u64 when = native_when(n);
    u64 slot = walk_room(n->w, NATIVE_AT_ONCE);
    u32 emitted = 0;
    if (n->s->exact || !state->window_at || slot > WALK_CAPACITY - NATIVE_AT_ONCE)
        return;
    struct raw_frame *to = &n->w->stack->frames[slot];
    u64 pc = state->regs.value[ARCH_PC];
    WALK_UNROLL
    for (u32 i = 0; i < NATIVE_AT_ONCE; i++) {
        u32 known = native_recall(n, pc - 1, when);
        const struct unwind_rule *rule = known == TABLE_RULE_LATER ? NULL : table_rule(n->w, known);
        if (!rule || rule->kind != RULE_CFA_REG || rule->flags)
            break;
        u64 cfa = native_known_base(n, rule->cfa_reg) + (u64)(s64)rule->cfa_offset;
        u64 offset = cfa + (u64)(s64)rule->ra_offset - state->window_at;
        if (!walk_window_holds_word(offset) || cfa <= state->regs.value[ARCH_STACK_POINTER])
            break;
        u64 caller = walk_window_word(state, offset);
        if (!caller)
            break;
        native_locate_saved(n, rule, cfa);
        to[i] = raw_frame(RAW_NATIVE, pc, cfa & ~(u64)RAW_FLAGS);
        state->regs.value[ARCH_STACK_POINTER] = cfa;
        pc = caller;
        emitted++;
    }
    state->regs.value[ARCH_PC] = pc;
    if (emitted)
        n->s->chained = 0;
    walk_emitted(n->w, emitted);
}

static __always_inline struct native_walk native_of(struct walk *w) {
    return (struct native_walk){.w = w, .s = (struct native_state *)w->state->runtime};
}

/* Plain frames, then one: find its code, find its caller, emit it, go to the caller. Returns whether it was the last. */
WALK_APART int native_frames(struct walk_state *state, struct walk_stack *stack) {
    if (!state || !stack)
        return 1;
    struct walk w = {.state = state, .stack = stack};
    struct native_walk n = native_of(&w);
    struct native_state *s = n.s;
    native_plain_frames(&n);
    u64 pc = state->regs.value[ARCH_PC];
    s->flags = s->exact ? RAW_EXACT : 0;
    s->cfa = 0;
    s->end = (u8)native_leave(&n, s->exact ? pc : pc - 1);
    walk_emit(&w, RAW_NATIVE, pc, (s->cfa & ~(u64)RAW_FLAGS) | s->flags);
    if (s->end == WALK_END_NONE && !(s->flags & RAW_SIGNAL))
        s->end = (u8)native_advance(&n);
    return s->end != WALK_END_NONE;
}

static long native_step(u32 i, void *arg) {
    struct walk *w = arg;
    (void)i;
    int over = native_frames(w->state, w->stack);
    WALK_OPAQUE(over); /* the verifier must see what it can be */
    return over != 0;
}

/* Walks from w->state->leaf to the root into a new stream. `exact` is 0 when the leaf's pc is a
 * return address of sorts: after a system call instruction. Returns enum walk_end. */
static __always_inline int native_walk(struct walk *w, u32 mappings_at, u32 n_mappings, u8 exact) {
    struct native_state *s = (struct native_state *)w->state->runtime;
    __builtin_memset(s, 0, sizeof(*s));
    s->mappings_at = mappings_at;
    s->n_mappings = n_mappings;
    s->exact = exact;
    s->volatiles = 1;
    walk_window_drop(w);
    w->state->regs = w->state->leaf;
    w->state->floor = w->state->leaf.value[ARCH_STACK_POINTER];
    WALK_UNROLL
    for (u32 r = 0; r < WALK_REGISTERS; r++)
        w->state->saved_at[r] = walk_is_partial(w) && r != ARCH_STACK_POINTER && r != ARCH_PC ? NATIVE_UNKNOWN : 0;
    if (walk_begin(w, 0) < 0)
        return WALK_END_NONE;
    walk_loop(WALK_MAX_STEPS, native_step, w);
    /* The last step leaves WALK_END_NONE behind when the loop ran out of steps. */
    u8 end = s->end == WALK_END_NONE ? WALK_END_LIMIT : s->end;
    walk_finish(w, end);
    return end;
}
