/* Reads a thread of a core as a dump does: its runtime's frames, and their names. */
#pragma once

#include "lang/lang.h"

struct core_host {
    struct walk_host host; /* must be first */
    struct target *target;
};

static inline int core_host_read(struct walk_host *host, u64 address, void *dst, size_t size) {
    return target_read(((struct core_host *)host)->target, address, dst, size);
}

/* Fills `stack` with the runtime's frames of `tid`. False when it has no registers. */
static inline bool core_thread_walk(struct lang_process *lp, const struct lang *lang, struct profile *p,
                                    struct target *t, pid_t tid, struct walk_stack *stack) {
    struct target_registers registers;
    u8 config[LANG_CONFIG_BYTES] = {0};
    if (target_thread_registers(t, tid, &registers, NULL) < 0)
        return false;
    lang->config(lp, config);
    struct core_host host = {.host = {.read = core_host_read}, .target = t};
    struct walk_state state = {.host = &host.host, .leaf = {.tls_base = registers.tls_base}, .tid = (u32)tid};
    struct walk w = {.stack = stack, .state = &state};
    stack->n_streams = stack->n_frames = 0;
    lang->walk(&w, config);
    for (u32 i = 0; i < stack->n_frames; i++)
        lang->name_frame(lp, p, &stack->frames[i]);
    return true;
}
