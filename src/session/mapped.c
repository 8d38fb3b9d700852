#include "session/mapped.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>

#include "base/mem.h"

/* How many places of the ring hold an event. */
static size_t recorded(const struct mapped_log *log) {
    return MIN(log->next, (size_t)MAPPED_EVENTS);
}

/* The event's place is needed for another. */
static void forget(struct mapped_log *log, struct mapped_event *e) {
    const uint64_t *last = e->new_image ? u64_map_get(&log->images, e->pid) : NULL;
    if (last && *last == e->time_ns)
        u64_map_remove(&log->images, e->pid);
    free(e->path);
}

int mapped_log_add(struct mapped_log *log, const struct cpu_mapped *record) {
    if (!log->events)
        log->events = mem_zalloc(MAPPED_EVENTS, sizeof(*log->events));
    bool new_image = record->head.type == CPU_RECORD_NEW_IMAGE;
    char *path = mem_strdup(new_image ? "" : record->path);
    if (!log->events || !path) {
        free(path);
        return -ENOMEM;
    }
    const uint64_t *last = u64_map_get(&log->images, record->head.tgid);
    bool latest = new_image && (!last || *last < record->head.time_ns); /* rings of CPUs are read in turn */
    if (latest && u64_map_put(&log->images, record->head.tgid, record->head.time_ns) < 0) {
        free(path);
        return -ENOMEM;
    }
    struct mapped_event *e = &log->events[log->next++ % MAPPED_EVENTS];
    forget(log, e);
    *e = (struct mapped_event){
        .time_ns = record->head.time_ns, .pid = record->head.tgid, .new_image = new_image, .path = path};
    if (!new_image)
        e->mapping = (struct target_mapping){.start = record->start,
                                             .end = record->end,
                                             .offset = record->offset,
                                             .device = makedev(record->major, record->minor),
                                             .inode = record->inode,
                                             .protection = PROT_READ | PROT_EXEC,
                                             .path = path};
    return 0;
}

void mapped_log_free(struct mapped_log *log) {
    for (size_t i = 0; i < recorded(log); i++)
        free(log->events[i].path);
    free(log->events);
    u64_map_free(&log->images);
    *log = (struct mapped_log){0};
}

/* When the image that `pid` ran at `time_ns` began; 0 when that is not known. */
static uint64_t image_begin(const struct mapped_log *log, u32 pid, uint64_t time_ns) {
    uint64_t begin = 0;
    for (size_t i = 0, n = recorded(log); i < n; i++) {
        const struct mapped_event *e = &log->events[i];
        if (e->new_image && e->pid == pid && e->time_ns <= time_ns)
            begin = MAX(begin, e->time_ns);
    }
    return begin;
}

/* When the next one began; UINT64_MAX when it is the last. */
static uint64_t image_end(const struct mapped_log *log, u32 pid, uint64_t begin) {
    uint64_t end = UINT64_MAX;
    for (size_t i = 0, n = recorded(log); i < n; i++) {
        const struct mapped_event *e = &log->events[i];
        if (e->new_image && e->pid == pid && e->time_ns > begin)
            end = MIN(end, e->time_ns);
    }
    return end;
}

bool mapped_new_image(const struct mapped_log *log, u32 pid, uint64_t from_ns, uint64_t to_ns) {
    const uint64_t *last = u64_map_get(&log->images, pid);
    return last && *last > from_ns && (*last <= to_ns || image_begin(log, pid, to_ns) > from_ns);
}

static int by_time(const void *a, const void *b) {
    const struct mapped_event *x = *(const struct mapped_event *const *)a, *y = *(const struct mapped_event *const *)b;
    return (x->time_ns > y->time_ns) - (x->time_ns < y->time_ns);
}

/* Puts a mapping into the sorted list in place of what it covers. */
static size_t put(struct target_mapping *list, size_t n, const struct target_mapping *m) {
    size_t at = 0, end;
    while (at < n && list[at].end <= m->start)
        at++;
    for (end = at; end < n && list[end].start < m->end;)
        end++;
    memmove(&list[at + 1], &list[end], (n - end) * sizeof(*list));
    list[at] = *m;
    return n - (end - at) + 1;
}

int mapped_log_list(const struct mapped_log *log, u32 pid, uint64_t time_ns, struct target_mapping **ret,
                    size_t *ret_count, uint64_t *ret_since) {
    uint64_t begin = log->events ? image_begin(log, pid, time_ns) : 0;
    if (!begin)
        return -ENOENT;
    uint64_t end = image_end(log, pid, begin);
    size_t all = recorded(log);
    _cleanup_(freep) const struct mapped_event **of_image = mem_alloc(all * sizeof(struct mapped_event *));
    size_t n = 0, count = 0;
    for (size_t i = 0; of_image && i < all; i++) {
        const struct mapped_event *e = &log->events[i];
        if (!e->new_image && e->pid == pid && e->time_ns >= begin && e->time_ns < end)
            of_image[n++] = e;
    }
    if (of_image && n == 0)
        return -ENOENT;
    struct target_mapping *list = of_image ? mem_alloc(n * sizeof(*list)) : NULL;
    if (!list)
        return -ENOMEM;
    qsort(of_image, n, sizeof(struct mapped_event *),
          by_time); /* rings of several CPUs were read one after the other */
    for (size_t i = 0; i < n; i++)
        count = put(list, count, &of_image[i]->mapping);
    *ret = list;
    *ret_count = count;
    *ret_since = begin;
    return 0;
}

/* ---- trust ---- */

static bool covers(const struct mapped_event *e, u32 pid, uint64_t address) {
    return e->pid == pid && !e->new_image && e->mapping.start <= address && address < e->mapping.end;
}

/* The mapping of `address` that began last in [from, to], or NULL. */
static const struct target_mapping *mapped_between(const struct mapped_log *log, u32 pid, uint64_t address,
                                                   uint64_t from, uint64_t to) {
    const struct mapped_event *last = NULL;
    for (size_t i = 0, n = recorded(log); i < n; i++) {
        const struct mapped_event *e = &log->events[i];
        if (covers(e, pid, address) && e->time_ns >= from && e->time_ns <= to && (!last || e->time_ns > last->time_ns))
            last = e;
    }
    return last ? &last->mapping : NULL;
}

enum trust { TRUST_ALL, TRUST_NAME, TRUST_NOTHING };

/* A walk at `time_ns`, and the two lists. */
struct walked {
    u32 pid;
    uint64_t time_ns;
    const struct process_snapshot *at, *before;
    bool in_user_space;
};

static bool is_of(const struct process_code *now, const struct target_mapping *then) {
    return now->file && now->file->inode == then->inode && now->start == then->start && now->offset == then->offset;
}

static enum trust trust_in(const struct mapped_log *log, const struct walked *w, uint64_t address) {
    uint64_t since = w->at->since_ns;
    if (w->in_user_space && mapped_between(log, w->pid, address, MAX(w->time_ns + 1, since), UINT64_MAX))
        return TRUST_NOTHING;
    const struct target_mapping *then = mapped_between(log, w->pid, address, since, w->time_ns);
    if (!then)
        return TRUST_ALL;
    const struct process_code *now = session_process_find(w->at, address);
    const struct process_code *before = session_process_find(w->before, address);
    if (now && !now->file && !then->inode)
        return TRUST_ALL; /* generated code has no rules that could have been another's */
    if (!now || !is_of(now, then))
        return TRUST_NOTHING;
    bool same = before && before->file == now->file && before->bias == now->bias;
    return same || w->in_user_space ? TRUST_ALL : TRUST_NAME;
}

struct assemble_trust mapped_trust(const struct mapped_log *log, const struct session_process *p,
                                   const struct walk_stack *walk, uint64_t time_ns, bool in_user_space) {
    struct assemble_trust r = {.certain = UINT32_MAX};
    struct walked how = {.pid = (u32)p->pid, .time_ns = time_ns, .in_user_space = in_user_space};
    how.at = session_process_at(p, in_user_space ? UINT64_MAX : time_ns, &how.before);
    bool in_doubt =
        in_user_space || (time_ns >= how.at->since_ns && (!how.at->published_ns || time_ns < how.at->published_ns));
    if (!in_doubt || !log->events || walk->n_streams == 0)
        return r;
    const struct walk_stream *s = &walk->streams[0];
    u32 n = s->lang ? 0 : MIN(MIN(s->total, (u32)s->leaf_capacity), walk->n_frames);
    for (u32 i = 0; i < n && s->first + i < WALK_CAPACITY; i++) {
        const struct raw_frame *f = &walk->frames[s->first + i];
        enum trust t = trust_in(log, &how, raw_code(f));
        if (t != TRUST_ALL)
            return (struct assemble_trust){.certain = i + (t == TRUST_NAME), .lost = t == TRUST_NOTHING};
    }
    return r;
}
