#include "session/stack_copy.h"

#include <errno.h>

enum { NEAR = 65536 };

static int read_copy_or_target(struct walk_host *host, u64 address, void *dst, size_t size) {
    struct stack_copy *c = (struct stack_copy *)host;
    if (address >= c->start && address - c->start < c->size) {
        size_t held = MIN(size, c->size - (address - c->start));
        memcpy(dst, c->bytes + (address - c->start), held);
        return held == size ? 0 : read_copy_or_target(host, address + held, (u8 *)dst + held, size - held);
    }
    /* Just below the copy the stack has been overwritten since: nothing is better than another moment's. So it is
     * above a copy that was cut short. Beyond a whole one are the thread's outer frames, which seldom change. */
    bool below = address < c->start && c->start - address < NEAR;
    bool above = c->cut && address >= c->start && address - c->start < c->size + NEAR;
    if (below || above)
        return -EFAULT;
    return c->target ? target_read(c->target, address, dst, size) : -EFAULT;
}

void stack_copy_init(struct stack_copy *c, struct target *t, u64 start, const void *bytes, u64 size, bool cut) {
    *c = (struct stack_copy){
        .host = {.read = read_copy_or_target}, .target = t, .bytes = bytes, .start = start, .size = size, .cut = cut};
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
