#include "session/stack_copy.h"

#include <errno.h>

enum {
    NEAR = 65536,
    PAGE = 4096,
    MOST_PAGES = 32,
};

/* How many bytes there are from the address to its page's end. */
static size_t rest_of_page(u64 address) {
    return PAGE - address % PAGE;
}

static bool is_hole(const struct stack_copy *c, u64 page) {
    return page < MOST_PAGES && c->holes >> page & 1;
}

/* Where in the copy's bytes page i begins, the first at `start`. */
static size_t bytes_before(const struct stack_copy *c, u64 page) {
    size_t at = 0;
    for (u64 i = 0; i < MIN(page, (u64)MOST_PAGES); i++)
        at += is_hole(c, i) ? 0 : i == 0 ? rest_of_page(c->start) : PAGE;
    return at;
}

/* Finds the outermost return address that lies in the copy, of the native frames walked so far: each is at the end of
 * its frame (x86_64.h). */
static void find_outermost(struct stack_copy *c) {
    const struct walk_stream *native = &c->walk->streams[0];
    u64 highest = 0;
    for (u32 i = 0; i < walk_stream_kept(native) && native->first + i < WALK_CAPACITY; i++) {
        u64 cfa = c->walk->frames[native->first + i].word[1] & ~(u64)RAW_FLAGS;
        if (cfa >= c->start + sizeof(u64) && cfa <= c->end)
            highest = MAX(highest, cfa);
    }
    if (highest && c->host.read(&c->host, highest - sizeof(u64), &c->outermost, sizeof(c->outermost)) == 0)
        c->outermost_at = highest - sizeof(u64);
}

/* Whether the outermost call found in the copy has not ended, or is made again from the same place: then its callers
 * are above it still. The bytes at the copy's end would not tell: they may be of an array that nobody has written to,
 * or of one that is written to all the time. */
static bool calls_go_on(struct stack_copy *c) {
    u64 now;
    if (!c->outermost_at && c->walk && c->walk->n_streams)
        find_outermost(c);
    if (!c->outermost_at)
        return false;
    if (!c->changed && (target_read(c->target, c->outermost_at, &now, sizeof(now)) < 0 || now != c->outermost))
        c->changed = true;
    return !c->changed;
}

/* Outside the copy, or in a hole: what was not in memory then nobody had written to, or it was swapped out. */
static int read_target(struct stack_copy *c, u64 address, void *dst, size_t size) {
    /* Just below the copy the stack has been overwritten since: nothing is better than another moment's. So it is
     * above a copy that was cut short, and where the stack has changed. */
    bool below = address < c->start && c->start - address < NEAR;
    bool above = address >= c->end && address - c->end < NEAR;
    if (below || !c->target || (above && (c->cut || !calls_go_on(c))))
        return -EFAULT;
    return target_read(c->target, address, dst, size);
}

/* A walk host's read: of the copy, or of the target. */
static int read_copy(struct walk_host *copy, u64 address, void *dst, size_t size) {
    struct stack_copy *c = (struct stack_copy *)copy;
    while (size && address >= c->start && address < c->end) {
        u64 page = address / PAGE - c->start / PAGE;
        size_t n = MIN(size, MIN(rest_of_page(address), c->end - address));
        if (!is_hole(c, page))
            memcpy(dst, c->bytes + bytes_before(c, page) + (page ? address % PAGE : address - c->start), n);
        else if (read_target(c, address, dst, n) < 0)
            return -EFAULT;
        address += n;
        dst = (u8 *)dst + n;
        size -= n;
    }
    return size ? read_target(c, address, dst, size) : 0;
}

struct stack_copy stack_copy_of(struct target *t, u64 start, const void *bytes, u32 size, u32 holes) {
    struct stack_copy c = {.host.read = read_copy, .target = t, .bytes = bytes, .start = start, .end = start};
    c.holes = holes;
    for (u64 page = 0; size && c.end <= UINT64_MAX - PAGE; page++) {
        size_t n = rest_of_page(c.end);
        if (!is_hole(&c, page))
            size -= n = MIN(n, (size_t)size);
        c.end += n;
    }
    return c;
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
