/* The Python walk: from a thread's own frame list, in BPF and in user space.
 * May use: unwind/walk.h.
 * Must not: name anything; read more than each frame needs.
 *
 * How CPython (3.6 – 3.15) keeps its frames:
 *   3.6 – 3.9   tstate.frame → PyFrameObject, linked by f_back; each runs in an eval loop of its own
 *   3.10        the same, and every eval loop has a CFrame on the C stack, linked by `previous`
 *   3.11        tstate.cframe → current_frame → _PyInterpreterFrame, linked by `previous`; is_entry
 *               marks the oldest frame that one eval loop runs; the loop's _PyCFrame is on the C stack
 *   3.12+       a shim frame (owner 3) on the C stack ends the run of frames of one eval loop
 * Sources: CPython's Include/internal/pycore_frame.h, pycore_runtime.h, cpython/pystate.h of each
 * version; offsets come in through struct python_config. */
#pragma once

#include "unwind/walk.h"

enum { LANG_PYTHON_KIND = 1 << 4 };

enum python_raw_kind {
    PYTHON_RAW_FRAME = LANG_PYTHON_KIND | 1,    /* word[0] code object; word[1] first line << 32 | byte offset */
    PYTHON_RAW_BOUNDARY = LANG_PYTHON_KIND | 2, /* word[0] an address inside the C frame of an eval loop */
};

enum python_style { PYTHON_FRAME_OBJECTS, PYTHON_FRAME_OBJECTS_CFRAME, PYTHON_CFRAME_ENTRY, PYTHON_SHIMS };

/* What the walk needs to know of one process; at most LANG_CONFIG_BYTES. Offsets in bytes. */
struct python_config {
    u64 interpreters;   /* address of the pointer to the newest interpreter */
    s32 tls_slot;       /* thread state = *(tls_base + tls_slot); 0 = search the lists */
    u32 interp_next, interp_threads;
    u16 tstate_next, tstate_thread_id;
    u16 tstate_frame;   /* of the frame, or of the cframe where `cframe_frame` says so */
    u16 cframe_frame, cframe_previous;
    u8 has_cframe;      /* tstate_frame points at a cframe whose cframe_frame is the frame */
    u8 style;           /* enum python_style */
    u8 units;           /* bytes per unit of f_lasti */
    u8 tagged;          /* the code pointer's low two bits are a tag */
    u16 tstate_cframe;  /* 3.10: where the CFrame chain starts */
    u16 frame_code, frame_back, frame_instr;
    u16 frame_owner;    /* owner, or is_entry in 3.11 */
    u16 frame_tlbc;     /* free-threaded: which copy of the bytecode; 0 = there is one */
    u16 code_tlbc;
    u16 code_first_line, code_bytes;
};
_Static_assert(sizeof(struct python_config) <= 256, "must fit LANG_CONFIG_BYTES");

struct python_walk_state {
    struct walk *w;
    const struct python_config *c;
    u64 frame, cframe;
    u64 interp, tstate; /* while searching */
    u8 end;
};

/* ---- finding the thread ---- */

static __always_inline u64 python_read_pointer(struct walk *w, u64 address) {
    u64 v = 0;
    if (walk_read(w, &v, 8, address) < 0)
        return 0;
    return v;
}

/* A thread state is the right one when its pthread_self() is the thread pointer: true for glibc and musl. */
static __always_inline int python_is_mine(struct walk *w, const struct python_config *c, u64 tstate) {
    return tstate && python_read_pointer(w, tstate + c->tstate_thread_id) == w->state->leaf.tls_base;
}

static long python_search_step(u32 i, void *arg) {
    struct python_walk_state *s = arg;
    if (!s->tstate) {
        if (!s->interp)
            return 1;
        s->tstate = python_read_pointer(s->w, s->interp + s->c->interp_threads);
        s->interp = python_read_pointer(s->w, s->interp + s->c->interp_next);
        return 0;
    }
    if (python_is_mine(s->w, s->c, s->tstate))
        return 1;
    s->tstate = python_read_pointer(s->w, s->tstate + s->c->tstate_next);
    return 0;
}

static __always_inline u64 python_find_thread(struct python_walk_state *s) {
    if (s->c->tls_slot) {
        u64 tstate = python_read_pointer(s->w, s->w->state->leaf.tls_base + (u64)(s64)s->c->tls_slot);
        if (python_is_mine(s->w, s->c, tstate))
            return tstate;
    }
    s->interp = python_read_pointer(s->w, s->c->interpreters);
    s->tstate = 0;
    walk_loop(4096, python_search_step, s);
    return python_is_mine(s->w, s->c, s->tstate) ? s->tstate : 0;
}

/* ---- frames ---- */

static __always_inline void python_emit(struct walk *w, const struct python_config *c, u64 code, s32 offset) {
    u32 first_line = 0;
    if (walk_read(w, &first_line, 4, code + c->code_first_line) < 0)
        first_line = 0;
    walk_emit(w, PYTHON_RAW_FRAME, code, (u64)first_line << 32 | (u32)offset);
}

/* 3.6 – 3.10. */
static __always_inline int python_step_object(struct python_walk_state *s) {
    struct walk *w = s->w;
    const struct python_config *c = s->c;
    u64 code = 0, back = 0;
    s32 lasti = 0;
    if (walk_read(w, &back, 8, s->frame + c->frame_back) < 0 || walk_read(w, &code, 8, s->frame + c->frame_code) < 0 ||
        walk_read(w, &lasti, 4, s->frame + c->frame_instr) < 0)
        return WALK_END_FAULT;
    python_emit(w, c, code, lasti < 0 ? lasti : lasti * c->units);
    if (c->style == PYTHON_FRAME_OBJECTS_CFRAME && s->cframe) {
        walk_emit(w, PYTHON_RAW_BOUNDARY, s->cframe, 0);
        s->cframe = python_read_pointer(w, s->cframe + c->cframe_previous);
    }
    s->frame = back;
    return back ? WALK_END_NONE : WALK_END_ROOT;
}

/* Start of the bytecode that a frame runs. */
static __always_inline u64 python_bytecode(struct walk *w, const struct python_config *c, u64 code, const u8 *frame) {
    if (!c->frame_tlbc)
        return code + c->code_bytes;
    u32 copy = *(const u32 *)(frame + (c->frame_tlbc & 0x7c));
    u64 copies = python_read_pointer(w, code + c->code_tlbc);
    u64 base = copy && copies ? python_read_pointer(w, copies + 8 + (u64)copy * 8) : 0;
    return base ? base : code + c->code_bytes;
}

/* 3.11+: one read fetches what is needed of the frame. */
static __always_inline int python_step_frame(struct python_walk_state *s) {
    struct walk *w = s->w;
    const struct python_config *c = s->c;
    u8 *b = (u8 *)w->state->scratch;
    if (walk_read(w, b, 88, s->frame) < 0)
        return WALK_END_FAULT;
    u64 code = *(u64 *)(b + (c->frame_code & 0x78)), back = *(u64 *)(b + (c->frame_back & 0x78));
    u64 instr = *(u64 *)(b + (c->frame_instr & 0x78));
    u8 mark = b[c->frame_owner & 0x7f];
    if (c->tagged)
        code &= ~3ull;
    if (c->style == PYTHON_SHIMS && mark >= 3) {
        walk_emit(w, PYTHON_RAW_BOUNDARY, s->frame, 0);
    } else {
        python_emit(w, c, code, (s32)(instr - python_bytecode(w, c, code, b)));
        if (c->style == PYTHON_CFRAME_ENTRY && mark && s->cframe) {
            walk_emit(w, PYTHON_RAW_BOUNDARY, s->cframe, 0);
            s->cframe = python_read_pointer(w, s->cframe + c->cframe_previous);
        }
    }
    s->frame = back;
    return back ? WALK_END_NONE : WALK_END_ROOT;
}

static long python_step(u32 i, void *arg) {
    struct python_walk_state *s = arg;
    int end = s->c->style <= PYTHON_FRAME_OBJECTS_CFRAME ? python_step_object(s) : python_step_frame(s);
    s->end = (u8)end;
    return end != WALK_END_NONE;
}

static __always_inline void python_walk(struct walk *w, const void *config) {
    const struct python_config *c = config;
    struct python_walk_state s = {.w = w, .c = c, .end = WALK_END_NO_THREAD};
    if (walk_begin(w->stack, LANG_PYTHON_KIND >> 4, &w->stream) < 0)
        return;
    u64 tstate = python_find_thread(&s);
    if (tstate) {
        u64 at = python_read_pointer(w, tstate + c->tstate_frame);
        s.frame = at;
        if (c->has_cframe) {
            s.cframe = at;
            s.frame = at ? python_read_pointer(w, at + c->cframe_frame) : 0;
        } else if (c->style == PYTHON_FRAME_OBJECTS_CFRAME) {
            s.cframe = python_read_pointer(w, tstate + c->tstate_cframe);
        }
        s.end = WALK_END_ROOT; /* a thread may well run no Python code at all */
        if (s.frame)
            walk_loop(WALK_MAX_STEPS, python_step, &s);
    }
    walk_finish(w, s.end == WALK_END_NONE ? WALK_END_LIMIT : s.end);
}
