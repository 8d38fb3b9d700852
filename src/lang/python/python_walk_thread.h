/* The first half of the Python walk: what it remembers, how it reads, and from a thread to its states.
 * May use: unwind/walk.h, lang/lang_id.h, lang/python/python_config.h.
 * Must not: be used but by python_walk.h, or trust what it reads, see there. */
#pragma once

#include "lang/lang_id.h"
#include "lang/python/python_config.h"
#include "unwind/walk.h"

enum {
    PYTHON_MAX_SEARCH = 1024,     /* thread states and interpreters looked at */
    PYTHON_MAX_NATIVE = 64,       /* native frames between two evaluation loops */
    PYTHON_MAX_STACK = 256,       /* native frames that are looked at for the extent of the stack */
    PYTHON_LOOP_ENTRY = 512,      /* bytes of the loop's code in which it may not be set up yet */
    PYTHON_AT_ONCE = 8,           /* plain frames in one step */
    PYTHON_KNOWN = 64,            /* code objects that are remembered (power of two) */
    PYTHON_IN_VAIN = 8,           /* threads whose stacks are known to tell nothing (power of two) */
    PYTHON_FIRST_SHIM_OWNER = 3,  /* frame owners from here on are not Python functions */
    PYTHON_MAX_WAITING = 8,       /* states of one thread (power of two) */
    PYTHON_STACK_BYTES = 1 << 16, /* from the leaf on: no thread state lies there */
    PYTHON_LOOP_BYTES = 1536,     /* of a loop's C frame, and of those it called, that are looked at */
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
    u64 in_vain[PYTHON_IN_VAIN];  /* others' states were looked for, see python_vain_key() */
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
