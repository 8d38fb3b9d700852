/* The Python walk: from a thread to its interpreter frames, 3.6 to 3.15.
 * May use: unwind/walk.h, lang/lang_id.h, lang/python/python_config.h.
 * Must not: take the GIL's word for anything, or trust what it reads: the thread was interrupted at
 * any instruction, or runs while we read.
 *
 * 1. Find the thread's state: in its thread-local slot, else in the interpreters' lists of threads.
 * 2. Follow the frames from the newest to the oldest, with marks where one C activation of the
 *    evaluation loop ends (see python_config.h). */
#pragma once

#include "lang/lang_id.h"
#include "lang/python/python_config.h"
#include "unwind/walk.h"

enum {
    PYTHON_MAX_SEARCH = 1024,    /* thread states and interpreters looked at */
    PYTHON_MAX_NATIVE = 64,      /* native frames between two evaluation loops */
    PYTHON_MAX_STACK = 256,      /* native frames that are looked at for the extent of the stack */
    PYTHON_LOOP_ENTRY = 512,     /* bytes of the loop's code in which it may not be set up yet */
    PYTHON_AT_ONCE = 8,          /* plain frames in one step */
    PYTHON_KNOWN = 64,           /* code objects that are remembered (power of two) */
    PYTHON_FIRST_SHIM_OWNER = 3, /* frame owners from here on are not Python functions */
    PYTHON_MAX_WAITING = 8,      /* states of one thread (power of two) */
    PYTHON_LOOP_BYTES = 1536,    /* of a loop's C frame, and of those it called, that are looked at */
};

/* In the walk's own memory, not on BPF's stack: the verifier follows every value that a stack slot can
 * have, and no two paths would be alike. */
struct python_state {
    u64 frame;                       /* to be visited; 0 = none */
    u64 cframe, root;                /* newest _PyCFrame not yet emitted, and the one that ends the chain */
    u64 outer;                       /* the one that the newest points to */
    u64 newest;                      /* 3.11, 3.12: the newest _PyCFrame until its run of frames was walked, then 0 */
    u64 place;                       /* how far it lies below the end of its native frame */
    u64 low;                         /* where the native frame at hand begins */
    u64 slot;                        /* the state that the thread's slot names, until the search comes to it */
    u64 running;                     /* the one that runs now, which was found before the search */
    u64 stack_end;                   /* of the native stack, as far as it was looked at */
    u64 waiting[PYTHON_MAX_WAITING]; /* states of this thread, newer interpreters first */
    u64 visited;                     /* a frame of the past, to notice a circle */
    u64 interpreter, thread;         /* of the search */
    u64 last;                        /* the frame visited before this one, other than shims */
    u64 objects, objects_end;        /* <= 3.9: where frame objects lie, from the lowest to the highest */
    u64 loop_end;                    /* of the loop's C frame that is looked at, */
    u32 loop_bytes;                  /* … and of what was read of it */
    u32 kept;                        /* frames that had been emitted when this thread state was begun */
    u32 accounted, loops;            /* loops that were emitted, as frames or as records; on the native stack */
    u8 suspect;                      /* the newest _PyCFrame may not be filled in yet */
    u8 several;                      /* interpreters: the thread may have a state in each */
    u8 more;                         /* there are states of it that are not looked for, or not kept */
    u8 n_waiting, n_entered;         /* of `waiting`: that are there, that were begun */
    u8 n_own;                        /* … that are the thread's own */
    u8 placing;                      /* <= 3.9: frame objects are emitted, to be found on the native stack */
    u8 seeking;                      /* thread states are looked for in what loops hold, not frames */
    u8 end;
};
/* What is read once in a millisecond, as each read costs the sampled thread a tenth of a microsecond. What is older may
 * no longer hold. */
struct python_memo {
    u64 moment, tls_base, thread; /* a thread's state; the only one, as there is one interpreter */
    struct python_code {
        u64 key; /* its address and the moment, see python_code_key() */
        u32 stamp;
    } codes[PYTHON_KNOWN];
};
_Static_assert(sizeof(struct python_memo) <= sizeof(((struct walk_state *)0)->memo), "lies there");
_Static_assert(sizeof(struct python_state) <= sizeof(((struct walk_state *)0)->runtime), "lies there");

/* On BPF's stack: must stay small. */
struct python_walk {
    struct walk *w;
    const struct python_config *c;
    struct python_state *s;
    struct python_memo *memo;
};

/* ---- fields of what was read into scratch; every offset is masked into it ---- */

static __always_inline u64 python_word(struct walk *w, u16 offset) {
    return *(const u64 *)((const u8 *)w->state->scratch + (offset & 0x78));
}

/* ---- fields of a frame that begins at `found` in the window or beside it, which the frame at hand does ---- */

enum { PYTHON_WITHIN = 2 * WALK_WINDOW - 1 };

static __always_inline u64 python_window_word(struct walk *w, u64 found, u16 offset) {
    return *(const u64 *)((const u8 *)w->state->window + ((found + offset) & PYTHON_WITHIN & ~7ull));
}
static __always_inline u8 python_window_byte(struct walk *w, u64 found, u16 offset) {
    return *((const u8 *)w->state->window + ((found + offset) & PYTHON_WITHIN));
}
static __always_inline u64 python_frame_word(struct walk *w, u16 offset) {
    return python_window_word(w, w->state->found, offset);
}
static __always_inline u32 python_frame_half(struct walk *w, u16 offset) {
    return *(const u32 *)((const u8 *)w->state->window + ((w->state->found + offset) & PYTHON_WITHIN & ~3ull));
}
static __always_inline u8 python_frame_byte(struct walk *w, u16 offset) {
    return python_window_byte(w, w->state->found, offset);
}

static __always_inline int python_read(struct walk *w, u16 size, u64 address) {
    return walk_read(w, w->state->scratch, size & PYTHON_READ, address);
}

/* The word at `address`, 0 when it cannot be read. */
static __always_inline u64 python_pointer(struct walk *w, u64 address) {
    u64 value = 0;
    walk_read(w, &value, 8, address);
    return value;
}

/* The same of the native stack, which the window may hold. */
static __always_inline u64 python_stack_pointer(struct walk *w, u64 address) {
    const struct walk_state *state = w->state;
    u64 offset = address - state->window_at;
    return walk_window_holds_word(offset) ? walk_window_word(state, offset) : python_pointer(w, address);
}

/* ---- the thread's state ---- */

/* Whether a thread state is that of the thread being walked. pthread_self() is the thread pointer; a host
 * that does not know it has the kernel's thread id, which is kept from 3.11 on. */
static __always_inline int python_is_mine(struct python_walk *p, u64 thread) {
    const struct python_config *c = p->c;
    u64 base = p->w->state->leaf.tls_base;
    if (base)
        return python_pointer(p->w, thread + c->thread_id) == base;
    return c->thread_native_id && p->w->state->tid &&
           python_pointer(p->w, thread + c->thread_native_id) == p->w->state->tid;
}

/* What a thread's slot holds, at its thread pointer `base`. Returns 0 and *ret, or -1 when the slot cannot be read. */
static __always_inline int python_slot(struct python_walk *p, const struct python_place *place, u64 base, u64 *ret) {
    u64 at = base, value = 0;
    if (place->count == 0 || !at)
        return -1;
    WALK_UNROLL
    for (u32 i = 0; i < PYTHON_TLS_STEPS; i++) {
        if (i >= place->count)
            break;
        if (i) {
            if (!value) /* the block of this key does not exist yet */
                break;
            at = value;
        }
        if (walk_read(p->w, &value, 8, at + (u64)(s64)place->steps[i]) < 0)
            return -1;
    }
    *ret = value;
    return 0;
}

/* Whether a thread state that holds the lock is not run by the thread that made it. */
static __always_inline int python_is_lent(struct python_walk *p, u64 thread) {
    const struct python_config *c = p->c;
    u64 its = 0, maker = python_pointer(p->w, thread + c->thread_id);
    return maker && python_slot(p, &c->slot, maker, &its) == 0 && its != thread;
}

/* Where the interrupted function's native frame ends. */
static __always_inline u64 python_leaf_end(struct walk *w) {
    const struct raw_frame *leaf = walk_frame(w, w->stack->streams[0].first);
    return leaf ? leaf->word[1] & ~(u64)RAW_FLAGS : 0;
}

/* 3.10 to 3.12: whether the newest loop of a thread state lies on this thread's stack, whoever made the state. */
static __always_inline int python_is_here(struct python_walk *p, u64 thread) {
    enum { LARGEST_LEAF = 16 << 10 };
    u64 low = python_leaf_end(p->w) - LARGEST_LEAF;
    if (!p->c->thread_cframe || p->s->stack_end <= low)
        return 0;
    return python_pointer(p->w, thread + p->c->thread_cframe) - low < p->s->stack_end - low;
}

/* The state that runs now: in this thread from 3.12 on, in the process before. 0 when that is not known. */
static __always_inline u64 python_running(struct python_walk *p) {
    const struct python_config *c = p->c;
    u64 thread = 0;
    if (c->running.count)
        python_slot(p, &c->running, p->w->state->leaf.tls_base, &thread);
    else if (c->current)
        thread = python_pointer(p->w, c->current);
    return thread;
}

/* Makes a _PyCFrame the newest that is not yet emitted. */
static __always_inline void python_at_cframe(struct python_walk *p, u64 cframe) {
    p->s->cframe = cframe;
    p->s->outer = cframe && cframe != p->s->root ? python_stack_pointer(p->w, cframe + p->c->cframe_previous) : 0;
}

/* Begins with the newest frame of a thread state. The merge is told where further ones begin, and which may be another
 * thread's: only the frames themselves say on whose stack they are. */
static __always_inline void python_enter(struct python_walk *p, u64 thread, u64 mark) {
    const struct python_config *c = p->c;
    if (mark)
        walk_emit(p->w, RAW_LANG(LANG_python, PYTHON_RAW_STATE), 0, mark);
    u64 cframe = c->thread_cframe ? python_pointer(p->w, thread + c->thread_cframe) : 0;
    p->s->frame = c->thread_through_cframe ? python_stack_pointer(p->w, cframe + c->cframe_frame)
                                           : python_pointer(p->w, thread + c->thread_frame);
    p->s->last = c->loops >= PYTHON_LOOPS_CFRAME_MARKED ? p->s->frame : 0;
    p->s->root = thread + c->thread_root_cframe;
    python_at_cframe(p, c->loops == PYTHON_LOOPS_SHIM ? 0 : cframe);
    u64 into_loop = p->w->state->leaf.value[WALK_REGISTERS - 1] - c->loop[0].start;
    p->s->newest = c->thread_through_cframe && cframe != p->s->root ? cframe : 0;
    p->s->suspect = into_loop < PYTHON_LOOP_ENTRY && cframe < python_leaf_end(p->w);
    p->s->kept = walk_filled(p->w)->total;
}

/* Whether a native frame may be one of the evaluation loop. */
static __always_inline int python_runs_loop(const struct python_config *c, const struct raw_frame *native) {
    return !c->loop[0].end || python_in_loop(c, raw_address(native) - 1);
}

/* Looks at native frame i, from the leaf: the first that holds the newest _PyCFrame tells where in a loop's
 * frame they lie; then the next loop's is at the same place. Other functions' frames, of which some are large, may still
 * hold one of a loop that has returned. Stops when it is found: p->s->frame is set. */
static long python_native_step(u32 i, void *arg) {
    struct python_walk *p = arg;
    const struct python_config *c = p->c;
    const struct walk_stream *native = &p->w->stack->streams[0];
    const struct raw_frame *its = walk_frame(p->w, native->first + i);
    if (i >= native->total || !its)
        return 1;
    u64 cfa = its->word[1] & ~(u64)RAW_FLAGS;
    u64 low = p->s->low, at = cfa - p->s->place;
    p->s->low = cfa;
    if (!p->s->place) {
        if (cfa > p->s->newest)
            p->s->place = cfa - p->s->newest;
        return 0;
    }
    if (at < low || !python_runs_loop(c, its))
        return 0;
    u64 previous = python_pointer(p->w, at + c->cframe_previous);
    if (previous != p->s->root && previous < cfa)
        return 0;
    u64 frame = python_pointer(p->w, at + c->cframe_frame);
    u64 code = python_pointer(p->w, frame + c->frame_code);
    if (!code || python_pointer(p->w, code + c->code_type_at) != c->code_type)
        return 0;
    p->s->frame = frame;
    if (c->loops == PYTHON_LOOPS_CFRAME_MARKED)
        python_at_cframe(p, at);
    return 1;
}

/* Goes on with the newest frame of the loop before the newest one: its _PyCFrame has its known place in a
 * native frame, and these were walked already. The newest loop's frames are dropped, unless they lead to that
 * frame. Returns whether there is a frame to go on with. */
static __always_inline int python_next_loop(struct python_walk *p) {
    u64 seen = p->s->frame;
    if (!p->s->newest || p->w->state->stream == 0 || !p->c->code_type)
        return 0;
    p->s->frame = 0;
    p->s->place = p->s->low = 0;
    walk_loop(PYTHON_MAX_NATIVE, python_native_step, p);
    p->s->newest = 0;
    p->s->visited = 0;
    if (p->s->frame)
        p->s->end = WALK_END_LIMIT;
    if (p->s->frame && p->s->frame != seen)
        walk_filled(p->w)->total = p->s->kept;
    if (!p->s->frame)
        p->s->frame = seen;
    return p->s->frame != 0;
}

/* A run of frames has been walked. 3.11, 3.12: a loop that has just begun links its _PyCFrame into the thread
 * state before it fills it in, and what the stack held there before may look like one, from a call that has
 * returned. So when the thread was interrupted near the start of the loop's code, and has linked that loop's, the
 * first run is believed only if it leads to the newest frame of the loop before. */
static __always_inline void python_end_run(struct python_walk *p) {
    if (p->s->suspect)
        python_next_loop(p);
    p->s->newest = 0;
}

/* The present frame is none, or was taken off the list this moment: a generator that yields is unlinked
 * from its caller before the list begins with the caller. Returns whether the walk is over. */
static __always_inline int python_give_up(struct python_walk *p) {
    p->s->frame = 0;
    p->s->end = WALK_END_CORRUPT;
    return !python_next_loop(p);
}

/* Takes a thread state that was found. Returns whether the search is over. */
static __always_inline int python_found(struct python_walk *p, u64 thread) {
    struct python_state *s = p->s;
    s->end = WALK_END_LIMIT; /* from here on: a state is known */
    if (thread == s->slot)
        s->slot = 0;
    if (s->n_waiting < PYTHON_MAX_WAITING)
        s->waiting[s->n_waiting++ & (PYTHON_MAX_WAITING - 1)] = thread;
    else
        s->more = 1;
    return !s->several;
}

/* One thread state, or one step to the next interpreter. */
static long python_search_step(u32 i, void *arg) {
    struct python_walk *p = arg;
    struct python_state *s = p->s;
    (void)i;
    if (!s->thread) {
        if (!s->interpreter)
            return 1;
        s->thread = python_pointer(p->w, s->interpreter + p->c->interpreter_threads);
        s->interpreter = python_pointer(p->w, s->interpreter + p->c->interpreter_next);
        return 0;
    }
    if (s->thread != s->running &&
        (s->thread == s->slot || python_is_mine(p, s->thread) || python_is_here(p, s->thread)) &&
        python_found(p, s->thread))
        return 1;
    s->thread = python_pointer(p->w, s->thread + p->c->thread_next);
    return 0;
}

/* Looks at native frame i, from the leaf. */
static long python_stack_step(u32 i, void *arg) {
    struct python_walk *p = arg;
    const struct walk_stream *native = &p->w->stack->streams[0];
    const struct raw_frame *its = walk_frame(p->w, native->first + i);
    if (i >= native->total || i >= native->leaf_capacity || !its)
        return 1;
    u64 end = its->word[1] & ~(u64)RAW_FLAGS;
    if (raw_kind(its) && end > p->s->stack_end)
        p->s->stack_end = end;
    if (raw_kind(its) && python_in_loop(p->c, raw_address(its) - 1))
        p->s->loops++;
    return 0;
}

/* Where frames, and with them other states' records, may lie; and how many loops there are. */
static __always_inline void python_look_at_stack(struct python_walk *p) {
    p->s->loops = 0;
    if (p->w->state->stream)
        walk_loop(PYTHON_MAX_STACK, python_stack_step, p);
}

/* Looks for the thread's states in all interpreters: the one that runs, then newer ones first. The one that its slot
 * names may be too far back in a long list. */
static __always_inline void python_search(struct python_walk *p, u64 slot) {
    struct python_state *s = p->s;
    s->slot = slot;
    if (s->several) {
        u64 running = python_running(p);
        if (running && (p->c->running.count || python_is_mine(p, running) || python_is_here(p, running))) {
            s->running = running;
            python_found(p, running);
        }
    }
    walk_loop(PYTHON_MAX_SEARCH, python_search_step, p);
    if (!s->several || (!s->thread && !s->interpreter))
        return;
    s->more = 1; /* it would have gone on */
    s->end = WALK_END_LIMIT;
    if (s->slot)
        python_found(p, s->slot);
}

/* Begins with the only state of the thread. */
static __always_inline void python_enter_only(struct python_walk *p, u64 thread) {
    p->s->end = WALK_END_LIMIT;
    p->s->waiting[0] = thread;
    p->s->n_waiting = p->s->n_entered = p->s->n_own = 1;
    python_enter(p, thread, 0);
}

/* Whether `thread` was the walked thread's state a moment ago, and there was one interpreter. */
static __always_inline int python_remembers(struct python_walk *p, u64 thread) {
    const struct python_memo *memo = p->memo;
    return thread && memo->thread == thread && memo->moment == p->w->state->moment &&
           memo->tls_base == p->w->state->leaf.tls_base;
}

static __always_inline void python_remember(struct python_walk *p, u64 thread) {
    p->memo->moment = p->w->state->moment;
    p->memo->tls_base = p->w->state->leaf.tls_base;
    p->memo->thread = thread;
}

/* Begins with the next of the states that were found. */
static __always_inline void python_enter_next(struct python_walk *p) {
    struct python_state *s = p->s;
    u8 i = s->n_entered++;
    python_enter(p, s->waiting[i & (PYTHON_MAX_WAITING - 1)],
                 i >= s->n_own ? PYTHON_STATE_BORROWED : PYTHON_STATE_FURTHER);
}

/* Begins with the first of the states that were found, if any was. Where there is one interpreter it is the only one. */
static __always_inline void python_enter_found(struct python_walk *p) {
    struct python_state *s = p->s;
    s->n_own = s->n_waiting;
    s->placing = p->c->loops == PYTHON_LOOPS_FRAME && s->n_waiting > 1;
    if (s->several && s->n_waiting)
        python_enter_next(p);
    else if (s->n_waiting)
        python_enter_only(p, s->waiting[0]);
}

/* A thread without a state of its own may run one that another has made. */
static __always_inline void python_borrow(struct python_walk *p) {
    u64 thread = python_running(p);
    if (!thread || !p->c->running.count)
        return;
    p->s->end = WALK_END_LIMIT;
    python_enter(p, thread, PYTHON_STATE_BORROWED);
}

/* Finds the thread's state and begins with its newest frame; p->s->end stays WALK_END_NO_THREAD if there
 * is none. */
static __always_inline void python_find_thread(struct python_walk *p) {
    const struct python_config *c = p->c;
    u64 thread = 0;
    int has_slot = python_slot(p, &c->slot, p->w->state->leaf.tls_base, &thread) == 0;
    if (has_slot && python_remembers(p, thread)) {
        python_enter_only(p, thread);
        return;
    }
    p->s->interpreter = python_pointer(p->w, c->interpreters);
    p->s->several = p->s->interpreter && python_pointer(p->w, p->s->interpreter + c->interpreter_next) != 0;
    int own = has_slot && thread && python_is_mine(p, thread);
    int its = own || (has_slot && thread && (c->flags & PYTHON_SLOT_OF_LAST));
    if (!p->s->several && own) {
        python_remember(p, thread);
        python_enter_only(p, thread);
        return;
    }
    if (!p->s->several && its) {
        p->s->end = WALK_END_LIMIT;
        python_enter(p, thread, PYTHON_STATE_BORROWED);
        return;
    }
    python_look_at_stack(p);
    if (p->s->several || !has_slot || thread || !(c->flags & PYTHON_SLOT_COMPLETE) || p->s->loops)
        python_search(p, its ? thread : 0);
    python_enter_found(p);
    if (p->s->end == WALK_END_NO_THREAD)
        python_borrow(p);
}

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
        if (python_is_state(p, word))
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
    u64 running = python_running(p);
    s->n_own = s->n_waiting;
    if (running && python_is_lent(p, running))
        python_add(p, running);
    /* The leaf's loop may have just begun. */
    if (s->loops > s->accounted + 1 || !python_in_loop(c, state->leaf.value[WALK_REGISTERS - 1]))
        python_look_into_loops(p, 1);
    if (s->n_waiting == s->n_own)
        return 0;
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
    if (of.s->placing && of.s->objects && state->stream)
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
    if (p.s->placing)
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
    p.s->placing = p.s->objects != 0;
    python_emit_held(w->state, w->stack, p.c);
    walk_finish(w, of->end);
}
#endif
