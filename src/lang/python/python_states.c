/* The frames of a thread that runs several thread states: of several interpreters, or one that another thread made.
 *
 * The walk emits one state after the other, in the interpreters' order. Which called which their loops' records say
 * (3.10+): the C stack grows downwards, so a run whose record lies lower was called by those above. A state whose records
 * all lie on another stack is another thread's, which runs it now. Up to 3.9 records are made, see python_places.c; a
 * frame without one is here where there are loops enough. */
#include <string.h>

#include "lang/python/python_process.h"

enum {
    MAX_TURNS = 256, /* of blocks: who has more of them lies */
    MAX_IDLE = 8,    /* loops that have just begun, or are about to return */
};

/* Frames [first, end) of one stream. */
struct span {
    u32 first, end;
};

struct order {
    const struct lang_process *lp;
    const struct lang_streams *in;
    u64 low, high; /* of the native stack; high = 0: not known */
    u32 turns;     /* left */
    s32 spare;     /* <= 3.9: loops that no record is of; as many as there may be, where that is not known */
};

/* ---- whose stack ---- */

static void measure_stack(struct order *o) {
    o->low = o->in->leaf_sp;
    for (u32 i = 0; i < o->in->n_native; i++) {
        const struct raw_frame *f = &o->in->native[i];
        u64 high = raw_kind(f) ? f->word[1] & ~(u64)RAW_FLAGS : 0;
        o->high = MAX(o->high, high);
        if (high && high < o->low) /* the leaf has a stack of its own, a signal's */
            o->low = high;
    }
}

/* Up to 3.9: each frame has a loop. Of the stream, which was `placed` or not, `n` are left. */
static void count_spare(struct order *o, u32 n, bool placed) {
    s32 spare = 0;
    for (u32 i = 0; i < o->in->n_native; i++)
        spare += python_is_loop(o->lp, &o->in->native[i]);
    for (u32 i = 0; i < n; i++)
        spare -= python_is_record(&o->in->runtime[i]);
    o->spare = placed && o->in->whole ? spare : INT32_MAX;
}

/* Takes loops for so many frames that have no record. */
static bool take_spare(struct order *o, u32 frames) {
    bool enough = o->spare >= 0 && (u32)o->spare >= frames;
    if (enough && o->spare != INT32_MAX)
        o->spare -= (s32)frames;
    return enough;
}

/* Up to 3.9: leaves out frames at either end of a state that are on another stack. Returns whether any are left. */
static bool keep_placed(struct order *o, struct span *s, bool borrowed) {
    const struct raw_frame *frames = o->in->runtime;
    u32 first = s->first, end = s->end;
    while (first < end && !python_is_record(&frames[first]))
        first++;
    if (first == end)
        return !borrowed && take_spare(o, end - s->first);
    while (!python_is_record(&frames[end - 1]))
        end--;
    first--; /* the record's frame */
    if (!take_spare(o, first - s->first))
        s->first = first;
    if (!take_spare(o, s->end - end))
        s->end = end;
    return true;
}

/* Whether the frames of a state are on this stack. Where that cannot be known the thread's own are, others' are not. */
static bool is_here(const struct order *o, const struct span *s, bool borrowed) {
    bool records = false;
    for (u32 i = s->first; i < s->end; i++) {
        u64 at = raw_address(&o->in->runtime[i]);
        if (!python_is_record(&o->in->runtime[i]))
            continue;
        if (at >= o->low && at < o->high)
            return true;
        records = true;
    }
    return !borrowed && (!records || !o->in->whole);
}

/* ---- order ---- */

/* The end of the run that begins at i, behind its record; *ret is where it lies, the highest address of all without. */
static u32 run_of(const struct raw_frame *frames, u32 i, u32 end, u64 *ret) {
    while (i < end && !python_is_record(&frames[i]))
        i++;
    *ret = i < end ? raw_address(&frames[i]) : UINT64_MAX;
    return i < end ? i + 1 : end;
}

static void reverse(struct raw_frame *frames, u32 first, u32 end) {
    for (; first + 1 < end; first++, end--) {
        struct raw_frame f = frames[first];
        frames[first] = frames[end - 1];
        frames[end - 1] = f;
    }
}

/* Brings [middle, end) before [first, middle). */
static void rotate(struct raw_frame *frames, u32 first, u32 middle, u32 end) {
    reverse(frames, first, middle);
    reverse(frames, middle, end);
    reverse(frames, first, end);
}

/* Merges two neighbours, each of which is in order: blocks of the second go to where they belong. */
static void merge_states(struct order *o, u32 first, u32 middle, u32 end) {
    struct raw_frame *frames = o->in->runtime;
    while (first < middle && middle < end && o->turns) {
        u64 left, right;
        u32 next = run_of(frames, first, middle, &left), block = middle;
        for (u32 after = run_of(frames, block, end, &right); block < end && right < left;
             after = run_of(frames, block, end, &right))
            block = after;
        if (block == middle) {
            first = next;
            continue;
        }
        rotate(frames, first, middle, block);
        first += block - middle;
        middle = block;
        o->turns--;
    }
}

/* Puts a slot at the leaf end, from the root end, and each record into the slot before its own. */
static void shift_records(struct raw_frame *frames, const struct span *s) {
    rotate(frames, s->first, s->end - 1, s->end);
    struct raw_frame last = frames[s->first];
    u32 slot = s->first;
    for (u32 i = s->first + 1; i < s->end; i++)
        if (python_is_record(&frames[i])) {
            frames[slot] = frames[i];
            slot = i;
        }
    frames[slot] = last;
}

/* 3.10 and 3.11: records that have no frame stand at the root end, but it is the leaf's that have none, see
 * align_chains(). */
static void align(const struct order *o, const struct span *s) {
    struct raw_frame *frames = o->in->runtime;
    u32 idle = 0;
    while (idle < MAX_IDLE && idle + 1 < s->end - s->first && python_is_record(&frames[s->end - 2 - idle]))
        idle++;
    if (o->lp->config.loops == PYTHON_LOOPS_SHIM || idle == MAX_IDLE)
        return;
    for (u32 i = 0; i < idle; i++)
        shift_records(frames, s);
}

u32 python_order_states(const struct lang_process *lp, const struct lang_streams *in) {
    struct order o = {.lp = lp, .in = in, .turns = MAX_TURNS};
    struct raw_frame *frames = in->runtime;
    bool old = lp->config.loops == PYTHON_LOOPS_FRAME;
    u32 kept = 0, n = old ? python_place_frames(frames, in->n_runtime) : in->n_runtime;
    measure_stack(&o);
    if (old)
        count_spare(&o, n, n < in->n_runtime);
    for (u32 i = 0; i < n;) {
        bool marked = python_is_mark(&frames[i]), borrowed = marked && frames[i].word[1] == PYTHON_STATE_BORROWED;
        struct span s = {.first = i + marked};
        for (s.end = s.first; s.end < n && !python_is_mark(&frames[s.end]);)
            s.end++;
        i = s.end;
        if (old ? !keep_placed(&o, &s, borrowed) : !is_here(&o, &s, borrowed))
            continue;
        memmove(&frames[kept], &frames[s.first], (s.end - s.first) * sizeof(*frames));
        s = (struct span){kept, kept + (s.end - s.first)};
        align(&o, &s);
        merge_states(&o, 0, s.first, s.end);
        kept = s.end;
    }
    return kept;
}
