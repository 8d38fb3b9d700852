/* perf maps: lines "start size name" in hexadecimal that just-in-time compilers append to
 * /tmp/perf-PID.map. Memory of code is used again, so a later line replaces what it overlaps of earlier
 * ones; and a program may write its map anew, so every look-up asks whether the file is still what was read.
 * Hostile: the file lies where anybody may write, so only that of the target's own user counts. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/bisect.h"
#include "base/file.h"
#include "symbol/internal.h"

enum {
    MAX_FILE = 256 << 20,
    WINDOW = 1 << 20, /* longer lines are not names */
    MAX_RUNS = 32,    /* each is twice as long as the next, so that is more than there can be */
    TAIL = 64,
    INDEX_BYTES = 8, /* for each place in the index of names */
};
#define MAX_READ (4ull << 30) /* in all: a file may be written anew for ever */

struct code {
    uint64_t start, end;
    const char *name;
};

struct codes {
    struct code *all;
    size_t count, capacity;
};

struct symbol_perf_map {
    struct symbol_perf_maps *all;
    size_t held; /* bytes, as `all` counts them */
    int fd;
    struct target *target; /* to look for a new file of the name; NULL = this one is all there is */
    struct stat seen;      /* when it was read last */
    off_t read_to;         /* lines up to here are known */
    char tail[TAIL];       /* what stands before that: other bytes there are another file */
    size_t n_tail;
    uint64_t bytes_read;
    struct codes fresh; /* as they were read */
    /* Disjoint and sorted each, newer over older. A new run is merged with those that are not much longer, so
     * that an entry is moved only as often as the whole doubles. */
    struct codes runs[MAX_RUNS];
    size_t n_runs, entries;
    struct symbol_names names; /* they never move, nor go: they were handed out */
};

/* ---- opening ---- */

int symbol_perf_map_open_fd(int fd, struct symbol_perf_maps *all, struct symbol_perf_map **ret) {
    struct symbol_perf_map *m = mem_zalloc(1, sizeof(*m));
    if (!m) {
        close(fd);
        return -ENOMEM;
    }
    m->fd = fd;
    m->all = all;
    *ret = m;
    return 0;
}

static int open_map_of(struct target *t) {
    char path[64];
    const struct target_info *info = target_get_info(t);
    snprintf(path, sizeof(path), "/tmp/perf-%d.map", (int)info->ns_pid);
    _cleanup_(closep) int fd = target_open_path(t, path);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
        (st.st_uid != info->uid && st.st_uid != 0 && st.st_uid != geteuid()))
        return -ENOENT;
    return TAKE_FD(fd);
}

int symbol_perf_map_open(struct target *t, struct symbol_perf_maps *all, struct symbol_perf_map **ret) {
    int fd = open_map_of(t);
    if (fd < 0)
        return fd;
    if (!target_ids_mean_it(t)) {
        close(fd);
        return -ESTALE;
    }
    int rc = symbol_perf_map_open_fd(fd, all, ret);
    if (rc == 0)
        (*ret)->target = t;
    return rc;
}

static void forget_runs(struct symbol_perf_map *m) {
    while (m->n_runs)
        free(m->runs[--m->n_runs].all);
    m->entries = 0;
}

void symbol_perf_map_close(struct symbol_perf_map *m) {
    if (!m)
        return;
    close(m->fd);
    m->all->held -= m->held;
    forget_runs(m);
    symbol_names_free(&m->names);
    free(m->fresh.all);
    free(m);
}

/* ---- reading ---- */

static int append(struct codes *list, const struct code *c) {
    if (mem_grow((void **)&list->all, &list->capacity, list->count + 1, sizeof(*list->all)) < 0)
        return -ENOMEM;
    list->all[list->count++] = *c;
    return 0;
}

/* Hexadecimal, perhaps with "0x". Returns where it ends, NULL when there is none. */
static const char *read_hex(const char *p, uint64_t *ret) {
    char *after;
    while (*p == ' ')
        p++;
    if (!strchr("0123456789abcdefABCDEF", *p) || !*p)
        return NULL;
    errno = 0;
    *ret = strtoull(p, &after, 16);
    return errno || *after != ' ' ? NULL : after;
}

/* Counts what is held. What a merge takes besides is gone soon. */
static void count_held(struct symbol_perf_map *m) {
    const struct symbol_names *n = &m->names;
    size_t names =
        n->arena.bytes + n->capacity * sizeof(*n->all) + (n->index.slots ? n->index.mask + 1 : 0) * INDEX_BYTES;
    size_t held = names + (m->fresh.capacity + m->entries) * sizeof(struct code);
    m->all->held += held - m->held;
    m->held = held;
}

/* A line that is none is passed over. */
static void add_line(struct symbol_perf_map *m, const char *line) {
    struct code c;
    uint64_t size;
    const char *at = read_hex(line, &c.start);
    at = at ? read_hex(at, &size) : NULL;
    if (!at || size == 0 || __builtin_add_overflow(c.start, size, &c.end))
        return;
    at += strspn(at, " ");
    if (!*at)
        return;
    count_held(m);
    if (m->all->held >= m->all->limit) {
        m->all->left_out++;
        return;
    }
    c.name = symbol_names_text(&m->names, at);
    if (c.name[0])
        (void)append(&m->fresh, &c); /* out of memory: it has no name */
}

/* Whole lines only: the rest of the last one is yet to be written. Returns how many bytes were used. */
static size_t add_lines(struct symbol_perf_map *m, char *text, size_t n) {
    char *line = text, *newline;
    while ((newline = memchr(line, '\n', (size_t)(text + n - line)))) {
        *newline = '\0';
        if (!memchr(line, 0, (size_t)(newline - line)))
            add_line(m, line);
        line = newline + 1;
    }
    return line == text && n == WINDOW ? n : (size_t)(line - text);
}

/* ---- later lines replace earlier ones ---- */

/* What is in force at an address is the newest of those that cover it: a heap of indices into `all`, the
 * highest on top. */
struct heap {
    uint32_t *at;
    size_t count;
};

static void heap_push(struct heap *h, uint32_t v) {
    size_t i = h->count++;
    for (; i && h->at[(i - 1) / 2] < v; i = (i - 1) / 2)
        h->at[i] = h->at[(i - 1) / 2];
    h->at[i] = v;
}

static void heap_pop(struct heap *h) {
    uint32_t v = h->at[--h->count];
    size_t i = 0, child;
    while ((child = 2 * i + 1) < h->count) {
        if (child + 1 < h->count && h->at[child + 1] > h->at[child])
            child++;
        if (h->at[child] <= v)
            break;
        h->at[i] = h->at[child];
        i = child;
    }
    h->at[i] = v;
}

struct order {
    uint64_t start;
    uint32_t index;
};

static int by_start(const void *a, const void *b) {
    const struct order *x = a, *y = b;
    return x->start < y->start ? -1 : x->start > y->start;
}

/* Emits what is in force from `at` to `to`. Entries that have ended leave the heap when they come to the top. */
static int emit(struct codes *out, struct heap *h, const struct code *all, uint64_t at, uint64_t to) {
    while (h->count && at < to) {
        const struct code *top = &all[h->at[0]];
        if (top->end <= at) {
            heap_pop(h);
            continue;
        }
        struct code piece = {at, MIN(to, top->end), top->name};
        struct code *last = out->count ? &out->all[out->count - 1] : NULL;
        if (last && last->end == at && last->name == piece.name)
            last->end = piece.end;
        else if (append(out, &piece) < 0)
            return -ENOMEM;
        at = piece.end;
    }
    return 0;
}

static int sweep(const struct codes *in, struct order *order, struct heap *h, struct codes *out) {
    for (size_t i = 0; i < in->count; i++)
        order[i] = (struct order){in->all[i].start, (uint32_t)i};
    qsort(order, in->count, sizeof(*order), by_start);
    for (size_t i = 0; i < in->count; i++) {
        heap_push(h, order[i].index);
        uint64_t next = i + 1 < in->count ? order[i + 1].start : UINT64_MAX;
        if (emit(out, h, in->all, order[i].start, next) < 0)
            return -ENOMEM;
    }
    return 0;
}

/* Makes a run of what was read. */
static int make_run(const struct codes *fresh, struct codes *out) {
    struct heap h = {.at = mem_alloc(fresh->count * sizeof(*h.at))};
    struct order *order = mem_alloc(fresh->count * sizeof(*order));
    int rc = order && h.at ? sweep(fresh, order, &h, out) : -ENOMEM;
    free(order);
    free(h.at);
    return rc;
}

/* Lays one run over another: what lies under it goes. */
static int lay_over(const struct codes *under, const struct codes *over, struct codes *out) {
    uint64_t from = 0;
    size_t k = 0;
    for (size_t i = 0; i <= over->count; i++) {
        uint64_t to = i < over->count ? over->all[i].start : UINT64_MAX;
        for (; k < under->count && under->all[k].start < to; k++) {
            const struct code *c = &under->all[k];
            struct code piece = {MAX(c->start, from), MIN(c->end, to), c->name};
            if (piece.start < piece.end && append(out, &piece) < 0)
                return -ENOMEM;
            if (c->end > to)
                break; /* some of it may lie behind */
        }
        if (i == over->count)
            break;
        if (append(out, &over->all[i]) < 0)
            return -ENOMEM;
        from = over->all[i].end;
    }
    return 0;
}

/* Out of memory leaves both, which is as good but slower. */
static bool merge_last_two(struct symbol_perf_map *m) {
    struct codes out = {0}, *under = &m->runs[m->n_runs - 2], *over = under + 1;
    if (lay_over(under, over, &out) < 0) {
        free(out.all);
        return false;
    }
    m->entries += out.count - under->count - over->count; /* wraps there and back */
    free(under->all);
    free(over->all);
    *under = out;
    m->n_runs--;
    mem_fit((void **)&under->all, &under->capacity, under->count, sizeof(*under->all));
    return true;
}

static void take_fresh(struct symbol_perf_map *m) {
    struct codes run = {0};
    if (m->fresh.count == 0)
        return;
    if (m->n_runs == MAX_RUNS || make_run(&m->fresh, &run) < 0) {
        free(run.all);
    } else {
        mem_fit((void **)&run.all, &run.capacity, run.count, sizeof(*run.all));
        m->runs[m->n_runs++] = run;
        m->entries += run.count;
    }
    m->fresh.count = 0;
    while (m->n_runs > 1 && m->runs[m->n_runs - 2].count / 2 < m->runs[m->n_runs - 1].count && merge_last_two(m))
        ;
}

/* ---- keeping up with the file ---- */

static bool tail_is_there(const struct symbol_perf_map *m) {
    char now[TAIL];
    return pread(m->fd, now, m->n_tail, m->read_to - (off_t)m->n_tail) == (ssize_t)m->n_tail &&
           memcmp(now, m->tail, m->n_tail) == 0;
}

/* Whether what was read still stands there. A file that changed but did not grow was written anew. */
static bool was_rewritten(const struct symbol_perf_map *m, const struct stat *now) {
    return now->st_ino != m->seen.st_ino || now->st_dev != m->seen.st_dev || now->st_size <= m->seen.st_size ||
           !tail_is_there(m);
}

static bool is_unchanged(const struct stat *a, const struct stat *b) {
    return a->st_size == b->st_size && a->st_ino == b->st_ino && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* A file that was removed may have a successor of its name. */
static void follow_name(struct symbol_perf_map *m, struct stat *now) {
    int fd = m->target && now->st_nlink == 0 ? open_map_of(m->target) : -1;
    if (fd < 0)
        return;
    close(m->fd);
    m->fd = fd;
    if (fstat(fd, now) < 0)
        *now = m->seen;
}

static void read_on(struct symbol_perf_map *m) {
    _cleanup_(freep) char *window = mem_alloc(WINDOW);
    ssize_t n;
    while (window && m->read_to < MAX_FILE && m->bytes_read < MAX_READ &&
           (n = pread(m->fd, window, WINDOW, m->read_to)) > 0) {
        m->bytes_read += (uint64_t)n;
        size_t used = add_lines(m, window, (size_t)n);
        m->read_to += (off_t)used;
        take_fresh(m);
        if (used == 0)
            break;
    }
    mem_fit((void **)&m->fresh.all, &m->fresh.capacity, 0, sizeof(*m->fresh.all));
    count_held(m);
    size_t tail = (size_t)MIN(m->read_to, (off_t)TAIL);
    n = pread(m->fd, m->tail, tail, m->read_to - (off_t)tail);
    m->n_tail = n > 0 ? (size_t)n : 0;
}

/* Reads what was appended since the last time, or all of a file that was written anew. */
static void refresh(struct symbol_perf_map *m) {
    struct stat now;
    if (fstat(m->fd, &now) < 0)
        return;
    follow_name(m, &now);
    if (is_unchanged(&now, &m->seen))
        return;
    if (was_rewritten(m, &now)) {
        m->read_to = 0;
        forget_runs(m);
    }
    m->seen = now;
    read_on(m);
}

/* ---- looking up ---- */

const char *symbol_perf_map_lookup(struct symbol_perf_map *m, uint64_t address) {
    refresh(m);
    for (size_t r = m->n_runs; r-- > 0;) {
        const struct codes *run = &m->runs[r];
        size_t low = bisect(i, run->count, run->all[i].start <= address);
        if (low && address < run->all[low - 1].end)
            return run->all[low - 1].name;
    }
    return "";
}
