/* Up to Python 3.9: where on the native stack the frames of several thread states lie.
 *
 * The walk emitted behind each frame its object, and behind all frames the pointers to such objects which the loops' C
 * frames hold, or what they called. Each loop holds its own frame, and runs one. It may hold others besides: what it
 * called keeps the frame of the loop that it is about to start, a register that was saved is its caller's, and in memory
 * that was not used since are some of the past, where new ones may lie by now. So each frame has a few loops to choose
 * from, and they are matched from the root: each loop gets, of the oldest frames that are left of the states, the one that
 * has the fewest loops still to come. */
#include "base/bisect.h"
#include "base/sort.h"
#include "lang/python/python_process.h"

enum {
    MAX_LOOPS = 2048, /* of deeper stacks the root end is not placed */
    MAX_STATES = 16,  /* the walk emits no more */
};

struct places {
    struct raw_frame *frames;
    struct raw_frame *held; /* in order of what is held; word[1] = the loop's index */
    u32 n_held, n_loops, n_states;
    u64 loops[MAX_LOOPS]; /* the ends of their C frames, the leaf's first */
    struct {
        u32 first, left; /* its frames that are not placed yet: frames[first] to frames[left - 1] */
    } states[MAX_STATES];
};

/* What the walk emitted of one loop stands together, the leaf's first. */
static bool number_loops(struct places *p) {
    for (u32 i = 0; i < p->n_held; i++) {
        u64 end = p->held[i].word[1];
        if (p->n_loops == 0 || p->loops[p->n_loops - 1] != end) {
            if (p->n_loops == MAX_LOOPS) {
                p->n_held = i;
                break;
            }
            p->loops[p->n_loops++] = end;
        }
        p->held[i].word[1] = p->n_loops - 1;
    }
    return sort_by_key(p->held, p->n_held, sizeof(*p->held)) == 0;
}

static void find_states(struct places *p, u32 n) {
    for (u32 i = 0; i < n; i++) {
        if (python_is_mark(&p->frames[i]) && p->n_states < MAX_STATES)
            p->states[p->n_states++].first = i + 1;
        else if (python_is(&p->frames[i], PYTHON_RAW_OBJECT))
            p->frames[i].word[1] = 0;
        if (p->n_states)
            p->states[p->n_states - 1].left = i + 1;
    }
}

/* Whether a loop holds an object; *ret_first is the one nearest to the leaf that does, if any. */
static bool holds(const struct places *p, u64 loop, const struct raw_frame *object, u64 *ret_first) {
    u64 key = raw_address(object);
    size_t i = bisect(k, p->n_held, raw_address(&p->held[k]) < key);
    bool found = false;
    *ret_first = UINT64_MAX;
    for (; i < p->n_held && raw_address(&p->held[i]) == key; i++) {
        *ret_first = MIN(*ret_first, p->held[i].word[1]);
        found = found || p->held[i].word[1] == loop;
    }
    return found;
}

/* The oldest frame of a state that is left, of those that may have their loop at `loop` or nearer to the leaf: if this one
 * holds it, else NULL. */
static struct raw_frame *oldest(struct places *p, u32 state, u64 loop, u64 *ret_first) {
    for (u32 *left = &p->states[state].left; *left > p->states[state].first; --*left) {
        struct raw_frame *f = &p->frames[*left - 1];
        if (!python_is(f, PYTHON_RAW_OBJECT))
            continue;
        bool held = holds(p, loop, f, ret_first);
        if (*ret_first <= loop)
            return held ? f : NULL;
    }
    return NULL;
}

static void place_one(struct places *p, u64 loop) {
    struct raw_frame *best = NULL;
    u64 first, most_urgent = 0;
    u32 of = 0;
    for (u32 s = 0; s < p->n_states; s++) {
        struct raw_frame *f = oldest(p, s, loop, &first);
        if (f && (!best || first > most_urgent)) {
            best = f;
            most_urgent = first;
            of = s;
        }
    }
    if (!best)
        return;
    best->word[1] = p->loops[loop] - 8;
    p->states[of].left--;
}

u32 python_place_frames(struct raw_frame *frames, u32 n) {
    u32 end = n, kept = 0;
    while (end > 0 && python_is(&frames[end - 1], PYTHON_RAW_HELD))
        end--;
    struct places p = {.frames = frames, .held = frames + end, .n_held = n - end};
    find_states(&p, end);
    if (number_loops(&p))
        for (u64 loop = p.n_loops; loop-- > 0;)
            place_one(&p, loop);
    for (u32 i = 0; i < end; i++) {
        if (!python_is(&frames[i], PYTHON_RAW_OBJECT))
            frames[kept++] = frames[i];
        else if (frames[i].word[1])
            frames[kept++] = raw_frame(RAW_LANG(LANG_python, PYTHON_RAW_LOOP), frames[i].word[1], 0);
    }
    return kept;
}
