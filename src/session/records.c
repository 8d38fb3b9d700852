/* The records of the source: which are taken at once, which wait, and which thread reads files for them. */
#include <poll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/worker.h"
#include "session/capture.h"

enum {
    MAX_WAITING = 64,     /* names that are new are read before walks are finished, unless so many wait */
    DEFER_NS = 200000000, /* … or one for so long */
    MAX_DEFERRED = 256,
    FINISH_NS = 200000,   /* walks are finished for so long at a time, or one, however long that takes; */
    READ_AHEAD = 8 << 20, /* … meanwhile records are taken out of the ring, up to so many bytes for each CPU, or more of
                           * those that sample faster, */
    MAX_READ_AHEAD = 128 << 20,
    READ_AHEAD_FREQUENCY = 250,
    CATCH_UP_NS = 2000000, /* … and looked at for so long at a time */
    LOOK_MS = 25,          /* how late the ring is looked at meanwhile, at most */
};

/* ---- samples that can wait ---- */

/* Finishing a walk may load tables, for longer than a short program lives or keeps its code. So first every
 * sample that waits in the ring is asked for what its process may forget: which process it is, and the names
 * of its thread and of its runtime's frames. Returns whether the sample was put by. */
static bool defer(struct capture *c, const struct sample_view *v, size_t size) {
    const struct cpu_sample *s = v->sample;
    if (!s->stack_bytes || c->deferred.count >= MAX_DEFERRED)
        return false;
    capture_read_names(c, v);
    if (c->deferred.count == 0)
        c->deferred_since_ns = clock_monotonic_ns();
    return record_queue_push(&c->deferred, s, size);
}

/* Takes over `r`, which may be NULL. */
static void take_waiting(struct capture *c, struct queued_record *r) {
    struct sample_view v;
    if (r && capture_view((const struct cpu_record_head *)r->bytes, r->size, &v))
        capture_take_sample(c, &v);
    free(r);
}

static void take_all_deferred(struct capture *c) {
    while (c->deferred.count)
        take_waiting(c, record_queue_pop(&c->deferred));
}

/* Before what is known of a process is forgotten. */
static void take_deferred_of(struct capture *c, u32 pid) {
    struct record_queue all = c->deferred;
    c->deferred = (struct record_queue){0};
    for (struct queued_record *r = record_queue_pop(&all); r; r = record_queue_pop(&all)) {
        if (process_table_depends(&c->processes, ((const struct cpu_record_head *)r->bytes)->tgid, pid))
            take_waiting(c, r);
        else
            record_queue_append(&c->deferred, r);
    }
}

/* ---- records ---- */

static void take_record(void *ctx, const struct cpu_record_head *record, size_t size) {
    struct capture *c = ctx;
    struct sample_view v;
    if (record->type == CPU_RECORD_FORK || record->type == CPU_RECORD_EXEC || record->type == CPU_RECORD_EXIT)
        c->news_ns = record->time_ns;
    switch (record->type) {
    case CPU_RECORD_SAMPLE:
        if (capture_view(record, size, &v) && !defer(c, &v, size))
            capture_take_sample(c, &v);
        break;
    case CPU_RECORD_FORK:
        take_deferred_of(c, record->child);
        process_table_forked(&c->processes, record->tgid, record->child);
        break;
    case CPU_RECORD_EXEC:
        take_deferred_of(c, record->tgid);
        process_table_execed(&c->processes, record->tgid);
        c->command_runs |= record->tgid == (u32)c->command.pid;
        break;
    case CPU_RECORD_MAP:
    case CPU_RECORD_NEW_IMAGE:
        if (size >= sizeof(struct cpu_mapped))
            process_table_mapped(&c->processes, (const struct cpu_mapped *)record);
        break;
    case CPU_RECORD_EXIT:
        take_deferred_of(c, record->tgid);
        process_table_exited(&c->processes, record->tgid);
        break;
    default:
        break;
    }
}

static void put_by(void *ctx, const struct cpu_record_head *record, size_t size) {
    struct capture *c = ctx;
    record_queue_push(&c->read_ahead, record, size);
}

static void take_read_ahead(struct capture *c, uint64_t until_ns) {
    while (c->read_ahead.count && clock_monotonic_ns() < until_ns) {
        struct queued_record *r = record_queue_pop(&c->read_ahead);
        take_record(c, (const struct cpu_record_head *)r->bytes, r->size);
        free(r);
    }
}

size_t capture_read_ahead(unsigned frequency) {
    size_t cpus = (size_t)MAX(sysconf(_SC_NPROCESSORS_ONLN), 1L);
    return MIN(cpus * READ_AHEAD * (1 + frequency / READ_AHEAD_FREQUENCY), (size_t)MAX_READ_AHEAD);
}

/* What was put by comes before what the ring holds. */
int capture_receive(struct capture *c, uint64_t wait_ms) {
    bool behind = c->read_ahead.count > 0;
    int rc = 0;
    if (c->read_ahead.bytes <= c->max_read_ahead)
        rc = cpu_source_poll(c->source, (int)wait_ms, c->options->stop_fd, behind ? put_by : take_record, c);
    take_read_ahead(c, clock_monotonic_ns() + CATCH_UP_NS);
    return rc;
}

void capture_take_rest(struct capture *c) {
    take_read_ahead(c, UINT64_MAX);
    cpu_source_poll(c->source, 0, -1, take_record, c);
    take_all_deferred(c);
}

/* ---- what takes long ---- */

static void finish_batch(void *ctx) {
    struct capture *c = ctx;
    uint64_t end = clock_monotonic_ns() + FINISH_NS;
    do
        take_waiting(c, record_queue_pop(&c->deferred));
    while (c->deferred.count && clock_monotonic_ns() < end);
}

static void read_kernel_names(void *ctx) {
    struct capture *c = ctx;
    assembler_read_kernel(c->assembler);
}

/* Has the other thread do what may take long and empties the ring meanwhile, so that there is room for stacks. Until it
 * is done everything is its own but the source's records and read_ahead. */
static int do_aside(struct capture *c, void (*what)(void *ctx)) {
    if (!c->worker && worker_new("scry-aside", &c->worker) < 0)
        c->worker = NULL;
    if (!c->worker) {
        what(c);
        return 0;
    }
    struct pollfd done = {.fd = worker_done_fd(c->worker), .events = POLLIN};
    int rc = 0;
    worker_begin(c->worker, what, c);
    while (!worker_ended(c->worker)) {
        if (rc < 0 || c->read_ahead.bytes > c->max_read_ahead)
            poll(&done, 1, LOOK_MS);
        else
            rc = cpu_source_poll(c->source, LOOK_MS, done.fd, put_by, c);
    }
    return rc;
}

int capture_finish_walks(struct capture *c, uint64_t now) {
    bool can_wait = now < c->watch_until_ns && now - c->deferred_since_ns < DEFER_NS;
    if (c->deferred.count && (!can_wait || c->deferred.count > MAX_WAITING))
        return do_aside(c, finish_batch);
    /* Whatever runs is in the kernel sooner or later: its names are read once there is time, not in the midst of it. */
    if (c->options->kernel && !c->kernel_read && c->profile->quality.samples_taken && !c->deferred.count) {
        c->kernel_read = true;
        return do_aside(c, read_kernel_names);
    }
    return 0;
}
