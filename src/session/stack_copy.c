#include "session/stack_copy.h"

#include <errno.h>

enum {
    NEAR = 65536,
    PAGE = 4096,
    COMPARED = 256, /* of the copy's end */
};

/* How many of the `size` bytes from `address` on, which is in the copy, are on its page; whether that is a hole. */
static size_t on_page(const struct stack_copy *c, u64 address, size_t size, bool *ret_hole) {
    u64 page = address / PAGE - c->start / PAGE;
    *ret_hole = page < 32 && c->holes >> page & 1;
    return MIN(size, MIN(PAGE - address % PAGE, c->start + c->size - address));
}

/* Whether the copy's end is in the target as it was: then what is above it is so too, most likely. It is the thread's
 * outer frames. */
static bool end_is_unchanged(struct stack_copy *c) {
    u8 now[COMPARED];
    size_t n = MIN(c->size, (u64)COMPARED);
    if (!c->changed &&
        (target_read(c->target, c->start + c->size - n, now, n) < 0 || memcmp(now, c->bytes + c->size - n, n) != 0))
        c->changed = true;
    return !c->changed;
}

/* Outside the copy, or in a hole: what was not in memory then nobody had written to, or it was swapped out. */
static int read_target(struct stack_copy *c, u64 address, void *dst, size_t size) {
    /* Just below the copy the stack has been overwritten since: nothing is better than another moment's. So it is
     * above a copy that was cut short, and where the stack has changed. */
    bool below = address < c->start && c->start - address < NEAR;
    bool above = address >= c->start + c->size && address - c->start < c->size + NEAR;
    if (below || !c->target || (above && (c->cut || !end_is_unchanged(c))))
        return -EFAULT;
    return target_read(c->target, address, dst, size);
}

int stack_copy_read(struct walk_host *copy, u64 address, void *dst, size_t size) {
    struct stack_copy *c = (struct stack_copy *)copy;
    while (size && address >= c->start && address - c->start < c->size) {
        bool hole;
        size_t n = on_page(c, address, size, &hole);
        if (!hole)
            memcpy(dst, c->bytes + (address - c->start), n);
        else if (read_target(c, address, dst, n) < 0)
            return -EFAULT;
        address += n;
        dst = (u8 *)dst + n;
        size -= n;
    }
    return size ? read_target(c, address, dst, size) : 0;
}

void stack_copy_stream(struct walk_stack *to, const struct walk_stack *from, u32 i) {
    const struct walk_stream *s = &from->streams[i];
    u32 kept = walk_stream_kept(s), last = to->n_streams;
    if (last >= WALK_MAX_STREAMS || s->first > WALK_CAPACITY || kept > WALK_CAPACITY - s->first ||
        kept > WALK_CAPACITY - to->n_frames)
        return;
    to->streams[last] = *s;
    to->streams[last].first = to->n_frames;
    memcpy(to->frames + to->n_frames, from->frames + s->first, kept * sizeof(struct raw_frame));
    to->n_frames += kept;
    to->n_streams = last + 1;
}
