/* The Python walk: from a thread to its interpreter frames, 3.6 to 3.15.
 * May use: unwind/walk.h, lang/lang_id.h, lang/python/python_walk_thread.h.
 * Must not: take the GIL's word for anything, or trust what it reads: the thread was interrupted at
 * any instruction, or runs while we read.
 *
 * 1. Find the thread's state: in its thread-local slot, else in the interpreters' lists of threads.
 * 2. Follow the frames from the newest to the oldest, with marks where one C activation of the
 *    evaluation loop ends (see python_config.h).
 * 3. Where these do not account for all loops on the native stack, look at what the loops hold. */
#pragma once

#include "lang/python/python_walk_thread.h"

/* ---- frames ---- */

/* Emits the record of the loop that ends here, and goes to the record of the next. */
static __always_inline void python_end_loop(struct python_walk *p) {
    if (!p->s->cframe || p->s->cframe == p->s->root)
        return;
    p->s->accounted++;
    walk_emit(p->w, RAW_LANG(LANG_python, PYTHON_RAW_LOOP), p->s->cframe, 0);
    python_at_cframe(p, p->s->outer);
}

/* Without a frame to visit: loops that have none (just begun, or about to return), then the thread's
 * further states. Returns whether the walk is over. */
static __always_inline int python_next_state(struct python_walk *p) {
    if (python_next_loop(p)) /* there must be a frame: the newest loop has not written it yet */
        return 0;
    if (p->s->cframe && p->s->cframe != p->s->root) {
        python_end_loop(p);
        return 0;
    }
    if (p->s->n_entered >= p->s->n_waiting) {
        p->s->end = p->s->more ? WALK_END_LIMIT : WALK_END_ROOT;
        return 1;
    }
    python_enter_next(p);
    return 0;
}

/* Makes a frame the one at hand. 0, or negative when it cannot be read. From 3.11 on, frames of ordinary calls
 * lie side by side, the caller's below: one read serves several. Objects of their own (frames up to 3.10, a
 * generator's) and shims on the native stack are read alone. */
static __always_inline int python_read_frame(struct python_walk *p, u64 frame) {
    struct walk_state *state = p->w->state;
    u32 size = p->c->frame_bytes & PYTHON_READ;
    if (frame & 7)
        return -1;
    if (p->s->last - frame < WALK_WINDOW && !walk_window_holds(p->w, frame, size))
        walk_window_move(state, frame + ((size + 7) & ~7u) - WALK_WINDOW, frame);
    state->found = frame - state->window_at;
    if (walk_window_holds(p->w, frame, size))
        return 0;
    state->found = WALK_WINDOW;
    return walk_aside(state, size, frame);
}

/* Index of the instruction in 2-byte units, of the frame at hand. `value` is what the frame says: an index, a
 * byte offset, or an address. */
static __always_inline u32 python_instruction(struct python_walk *p, u64 code, u64 value) {
    const struct python_config *c = p->c;
    if (c->loops <= PYTHON_LOOPS_CFRAME_EACH)
        return (u32)((s32)value >> (c->instruction_shift & 1));
    u64 first = code + c->code_instructions;
    s32 copy = c->frame_copy ? (s32)python_frame_half(p->w, c->frame_copy) : 0;
    if (copy > 0) { /* free-threaded: this thread's own copy of the instructions */
        u64 copies = python_pointer(p->w, code + c->code_copies);
        first = python_pointer(p->w, copies + 8 + 8 * (u64)(u32)copy);
    }
    return (u32)((s64)(value - first) >> 1);
}

/* No two code objects have the same at one moment. */
static __always_inline u64 python_code_key(struct python_walk *p, u64 code) {
    return code ^ p->w->state->moment * 0xd6e8feb86659fd93ull;
}

/* Where a code object is remembered. */
static __always_inline struct python_code *python_known(struct python_walk *p, u64 code) {
    return &p->memo->codes[(u32)(code * 0x9e3779b97f4a7c15ull >> 32) & (PYTHON_KNOWN - 1)];
}

/* The stamp of a code object. 0, or -1 when it is no code. */
static __always_inline int python_stamp_of(struct python_walk *p, u64 code, u32 *ret) {
    const struct python_config *c = p->c;
    struct python_code *known = python_known(p, code);
    if (code && known->key == python_code_key(p, code)) {
        *ret = known->stamp;
        return 0;
    }
    if (python_read(p->w, PYTHON_CODE_BYTES, code) < 0)
        return -1;
    if (c->code_type && python_word(p->w, c->code_type_at) != c->code_type)
        return -1;
    u32 stamp = python_stamp(p->w->state->scratch, c->code_first_line);
    if (c->code_filename && python_read(p->w, PYTHON_CODE_BYTES, python_word(p->w, c->code_filename)) == 0)
        stamp = python_stamp_of_text(stamp, p->w->state->scratch);
    *ret = stamp;
    known->key = python_code_key(p, code);
    known->stamp = *ret;
    return 0;
}

/* From 3.11 on: emits frames as long as nothing is special about them. They lie in the window, each below the one that
 * it called, their code has been looked at, and no loop ends with them. Of a deep stack most are such. */
static __always_inline void python_plain_frames(struct python_walk *p) {
    const struct python_config *c = p->c;
    struct walk *w = p->w;
    u64 frame = p->s->frame, window = w->state->window_at, last = WALK_WINDOW - (c->frame_bytes & PYTHON_READ);
    u8 plain = c->loops == PYTHON_LOOPS_SHIM ? PYTHON_FIRST_SHIM_OWNER : 1;
    u64 slot = walk_room(w, PYTHON_AT_ONCE);
    u32 n = 0;
    if (c->loops < PYTHON_LOOPS_CFRAME_MARKED || c->frame_copy || !window || slot > WALK_CAPACITY - PYTHON_AT_ONCE)
        return;
    struct raw_frame *to = &w->stack->frames[slot];
    WALK_UNROLL
    for (u32 i = 0; i < PYTHON_AT_ONCE; i++) {
        u64 found = frame - window;
        if ((frame & 7) || found > last)
            break;
        u64 code = python_window_word(w, found, c->frame_code) & ~7ull;
        u64 previous = python_window_word(w, found, c->frame_previous);
        const struct python_code *known = python_known(p, code);
        if (!code || known->key != python_code_key(p, code) || python_window_byte(w, found, c->frame_mark) >= plain ||
            !previous || previous >= frame)
            break;
        u64 at = python_window_word(w, found, c->frame_instruction) - code - c->code_instructions;
        to[i] = raw_frame(RAW_LANG(LANG_python, PYTHON_RAW_FRAME), code, (u64)known->stamp << 32 | (u32)(at >> 1));
        p->s->last = frame;
        frame = previous;
        n++;
    }
    walk_emitted(w, n);
    p->s->frame = frame;
}

static __always_inline struct python_walk python_of(struct walk *w, const struct python_config *config) {
    return (struct python_walk){.w = w,
                                .c = config,
                                .s = (struct python_state *)w->state->runtime,
                                .memo = (struct python_memo *)w->state->memo};
}

/* Up to 3.9: frame objects lie here, too. */
static __always_inline void python_widen(struct python_walk *p, u64 object) {
    if (!p->s->objects || object < p->s->objects)
        p->s->objects = object;
    if (object > p->s->objects_end)
        p->s->objects_end = object;
}

/* Up to 3.9: a frame was emitted. */
static __always_inline void python_note_object(struct python_walk *p, u64 frame) {
    struct python_state *s = p->s;
    s->accounted++;
    if (!s->placing)
        return;
    python_widen(p, frame);
    walk_emit(p->w, RAW_LANG(LANG_python, PYTHON_RAW_OBJECT), frame, 0);
}

/* Plain frames, then one, the i-th. Returns whether the walk is over. */
WALK_APART int python_frames(struct walk_state *state, struct walk_stack *stack, const struct python_config *c, u32 i) {
    if (!state || !stack || !c)
        return 1;
    struct walk w = {.state = state, .stack = stack};
    struct python_walk of = python_of(&w, c), *p = &of;
    python_plain_frames(p);
    u64 frame = p->s->frame;
    if (!frame)
        return python_next_state(p);
    if (frame == p->s->visited || python_read_frame(p, frame) < 0)
        return python_give_up(p);
    if ((i & (i - 1)) == 0)
        p->s->visited = frame;
    u64 code = python_frame_word(p->w, c->frame_code) & ~7ull; /* 3.14+ tags references in the low bits */
    u64 value = c->loops <= PYTHON_LOOPS_CFRAME_EACH ? python_frame_half(p->w, c->frame_instruction)
                                                     : python_frame_word(p->w, c->frame_instruction);
    u8 mark = c->frame_mark ? python_frame_byte(p->w, c->frame_mark) : 0;
    p->s->frame = python_frame_word(p->w, c->frame_previous);
    if (c->loops == PYTHON_LOOPS_SHIM && mark >= PYTHON_FIRST_SHIM_OWNER) {
        p->s->accounted++;
        walk_emit(p->w, RAW_LANG(LANG_python, PYTHON_RAW_LOOP), frame, 0);
        python_end_run(p);
        return 0;
    }
    u32 stamp;
    if (python_stamp_of(p, code, &stamp) < 0)
        return python_give_up(p);
    walk_emit(p->w, RAW_LANG(LANG_python, PYTHON_RAW_FRAME), code,
              (u64)stamp << 32 | python_instruction(p, code, value));
    p->s->last = frame;
    if (c->loops == PYTHON_LOOPS_FRAME)
        python_note_object(p, frame);
    if (c->loops == PYTHON_LOOPS_CFRAME_EACH || (c->loops == PYTHON_LOOPS_CFRAME_MARKED && mark)) {
        python_end_loop(p);
        python_end_run(p);
    } else if (c->loops != PYTHON_LOOPS_FRAME && !p->s->frame) {
        return python_give_up(p); /* the oldest frame must end a run */
    }
    return 0;
}

static long python_step(u32 i, void *arg) {
    struct python_walk *p = arg;
    int over = python_frames(p->w->state, p->w->stack, p->c, i);
    WALK_OPAQUE(over); /* the verifier must see what it can be */
    return over != 0;
}

/* ---- whose frames lie on this stack ----
 *
 * What no thread-local variable and no list says, the loops do: each has its thread state among its variables, in its C
 * frame, or in a register that it or what it called has saved; and up to 3.9 its frame object. */

/* Whether this is the address of a thread state: its interpreter's list holds it. */
static __always_inline int python_is_state(struct python_walk *p, u64 at) {
    const struct python_config *c = p->c;
    u64 interpreter = at && !(at & 7) ? python_pointer(p->w, at + c->thread_interpreter) : 0;
    u64 newest = interpreter ? python_pointer(p->w, interpreter + c->interpreter_threads) : 0;
    if (!newest || python_pointer(p->w, newest + c->thread_interpreter) != interpreter)
        return 0;
    u64 newer = python_pointer(p->w, at + c->thread_next - 8); /* `prev` */
    return at == newest || (newer && python_pointer(p->w, newer + c->thread_next) == at);
}

/* Adds a state that may be run here to those that were found, unless it is one of them. */
static __always_inline void python_add(struct python_walk *p, u64 thread) {
    struct python_state *s = p->s;
    u32 known = 0;
    WALK_UNROLL
    for (u32 i = 0; i < PYTHON_MAX_WAITING; i++)
        known |= s->waiting[i] == thread;
    if (known)
        return;
    if (s->n_waiting < PYTHON_MAX_WAITING)
        s->waiting[s->n_waiting++ & (PYTHON_MAX_WAITING - 1)] = thread;
    else
        s->more = 1;
}

/* Looks at word i of a loop's C frame. */
static long python_word_step(u32 i, void *arg) {
    struct python_walk *p = arg;
    struct python_state *s = p->s;
    if (8 * i >= s->loop_bytes)
        return 1;
    u64 word = walk_window_word(p->w->state, WALK_WINDOW + 8 * i);
    if (s->seeking) {
        if (word != s->waiting[0] && word - p->w->state->floor >= PYTHON_STACK_BYTES && python_is_state(p, word))
            python_add(p, word);
    } else if (word - s->objects <= s->objects_end - s->objects) {
        walk_emit(p->w, RAW_LANG(LANG_python, PYTHON_RAW_HELD), word, s->loop_end);
    }
    return 0;
}

/* Looks at native frame i, from the leaf. */
static long python_loop_step(u32 i, void *arg) {
    struct python_walk *p = arg;
    struct python_state *s = p->s;
    const struct walk_stream *native = &p->w->stack->streams[0];
    const struct raw_frame *its = walk_frame(p->w, native->first + i);
    if (i >= native->total || i >= native->leaf_capacity || !its)
        return 1;
    u64 end = its->word[1] & ~(u64)RAW_FLAGS, low = s->low;
    if (raw_kind(its) != RAW_NATIVE || !python_in_loop(p->c, raw_code(its)))
        return 0;
    s->low = end;
    s->loop_end = end;
    s->loop_bytes = end - low < PYTHON_LOOP_BYTES ? (u32)(end - low) : PYTHON_LOOP_BYTES;
    if (walk_aside(p->w->state, s->loop_bytes, end - s->loop_bytes) == 0)
        walk_loop(PYTHON_LOOP_BYTES / 8, python_word_step, p);
    return 0;
}

static __always_inline void python_look_into_loops(struct python_walk *p, u8 seeking) {
    p->s->seeking = seeking;
    p->s->low = p->w->state->floor;
    walk_loop(seeking ? PYTHON_MAX_STACK : WALK_NATIVE_LEAF, python_loop_step, p);
}

enum { PYTHON_LACKING = 63 }; /* loops, more are not told apart */

/* Of the thread and the epoch; the low bits are left for how many loops were not accounted for. Where greenlets take
 * turns that is so in every sample, and to look at all that these loops hold takes longer than all else. */
static __always_inline u64 python_vain_key(const struct walk_state *state) {
    u64 of = state->leaf.tls_base ^ state->moment >> 32 << 48 ^ state->epoch;
    return of * 0x9e3779b97f4a7c15ull & ~(u64)PYTHON_LACKING;
}

/* The thread's own states were walked. If that does not account for all loops on its stack, it runs states that others
 * made. Returns whether there are such: then everything is to be walked anew. */
WALK_APART int python_find_others(struct walk_state *state, struct walk_stack *stack, const struct python_config *c) {
    if (!state || !stack || !c)
        return 0;
    struct walk w = {.state = state, .stack = stack};
    struct python_walk of = python_of(&w, c), *p = &of;
    struct python_state *s = p->s;
    if (!c->loop[0].end || (s->end != WALK_END_ROOT && s->end != WALK_END_NO_THREAD))
        return 0;
    python_look_at_stack(p);
    if (s->loops <= s->accounted)
        return 0;
    u64 running = python_running(p), key = python_vain_key(state), lacking = s->loops - s->accounted;
    lacking = lacking < PYTHON_LACKING ? lacking : PYTHON_LACKING;
    u64 *known = &p->memo->in_vain[key >> 32 & (PYTHON_IN_VAIN - 1)];
    u64 in_vain = state->epoch ? *known - key : PYTHON_LACKING + 1;
    s->n_own = s->n_waiting;
    if (running && python_is_lent(p, running))
        python_add(p, running);
    else if (in_vain <= PYTHON_LACKING && lacking <= in_vain)
        return 0;
    /* The leaf's loop may have just begun. */
    if (lacking > 1 || !python_in_loop(c, state->leaf.value[WALK_REGISTERS - 1]))
        python_look_into_loops(p, 1);
    if (s->n_waiting == s->n_own) {
        *known = key + lacking;
        return 0;
    }
    s->placing = c->loops == PYTHON_LOOPS_FRAME;
    s->n_entered = 0;
    s->accounted = 0;
    s->frame = s->cframe = s->newest = s->visited = 0;
    s->end = WALK_END_LIMIT;
    walk_filled(&w)->total = 0;
    return 1;
}

/* Emits which frame objects the loops hold. */
WALK_APART int python_emit_held(struct walk_state *state, struct walk_stack *stack, const struct python_config *c) {
    if (!state || !stack || !c)
        return 0;
    struct walk w = {.state = state, .stack = stack};
    struct python_walk of = python_of(&w, c);
    if (state->stream)
        python_look_into_loops(&of, 0);
    return 0;
}

/* To count the loops takes a while: in the kernel it is done where nothing else tells who runs what, and later versions
 * are content with the states of the lists. */
#ifdef __bpf__
#define PYTHON_SEEKS(c) ((c)->loops == PYTHON_LOOPS_FRAME)
#else
#define PYTHON_SEEKS(c) 1
#endif

static __always_inline void python_walk(struct walk *w, const void *config) {
    struct python_walk p = python_of(w, config);
    __builtin_memset(p.s, 0, sizeof(*p.s));
    p.s->end = WALK_END_NO_THREAD;
    if (walk_begin(w, LANG_python) < 0)
        return;
    python_find_thread(&p);
    if (p.s->end != WALK_END_NO_THREAD)
        walk_loop(WALK_MAX_STEPS, python_step, &p);
    if (PYTHON_SEEKS(p.c) && python_find_others(w->state, w->stack, p.c))
        walk_loop(WALK_MAX_STEPS, python_step, &p);
    if (p.s->objects)
        python_emit_held(w->state, w->stack, p.c);
    walk_finish(w, p.s->end);
}

#ifndef __bpf__
/* The native frames are others now: so is what the loops hold. */
static inline void python_rewalked(struct walk *w, const void *config) {
    struct python_walk p = python_of(w, config);
    w->state->stream = w->stack->n_streams - 1;
    struct walk_stream *of = walk_filled(w);
    u32 kept = walk_stream_kept(of);
    if (p.c->loops != PYTHON_LOOPS_FRAME || kept < of->total)
        return;
    while (of->total && raw_kind(walk_frame(w, of->first + of->total - 1)) == RAW_LANG(LANG_python, PYTHON_RAW_HELD))
        of->total--;
    for (u32 i = 0; i < of->total; i++) {
        const struct raw_frame *f = walk_frame(w, of->first + i);
        if (raw_kind(f) == RAW_LANG(LANG_python, PYTHON_RAW_OBJECT))
            python_widen(&p, raw_address(f));
    }
    if (p.s->objects)
        python_emit_held(w->state, w->stack, p.c);
    walk_finish(w, of->end);
}
#endif
