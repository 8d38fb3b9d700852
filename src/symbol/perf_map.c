/* perf maps: lines "start size name" in hexadecimal that just-in-time compilers append to
 * /tmp/perf-PID.map. Memory of code is used again, so a later line replaces what it overlaps of earlier
 * ones. Hostile: the file lies where anybody may write, so only that of the target's own user counts. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/bisect.h"
#include "base/file.h"
#include "symbol/internal.h"

enum {
    MAX_ENTRIES = 4 << 20,
    MAX_NAME_BYTES = 256 << 20,
    WINDOW = 1 << 20, /* longer lines are not names */
};

struct code {
    uint64_t start, end;
    const char *name;
};

struct codes {
    struct code *all;
    size_t count, capacity;
};

struct symbol_perf_map {
    int fd;
    off_t read_to, seen; /* lines up to the one; the size at the last reading */
    struct codes known;  /* disjoint and sorted */
    struct codes fresh;  /* as they were read */
    struct arena names;  /* they never move, nor go: they were handed out */
};

/* ---- opening ---- */

int symbol_perf_map_open_fd(int fd, struct symbol_perf_map **ret) {
    struct symbol_perf_map *m = mem_zalloc(1, sizeof(*m));
    if (!m) {
        close(fd);
        return -ENOMEM;
    }
    m->fd = fd;
    *ret = m;
    return 0;
}

int symbol_perf_map_open(struct target *t, struct symbol_perf_map **ret) {
    char path[64];
    const struct target_info *info = target_get_info(t);
    snprintf(path, sizeof(path), "/tmp/perf-%d.map", (int)info->ns_pid);
    _cleanup_(closep) int fd = target_open_path(t, path);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
        (st.st_uid != info->uid && st.st_uid != 0 && st.st_uid != geteuid()))
        return -ENOENT;
    return symbol_perf_map_open_fd(TAKE_FD(fd), ret);
}

void symbol_perf_map_close(struct symbol_perf_map *m) {
    if (!m)
        return;
    close(m->fd);
    arena_free(&m->names);
    free(m->known.all);
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

/* A line that is none is passed over. */
static void add_line(struct symbol_perf_map *m, const char *line) {
    struct code c;
    uint64_t size;
    const char *at = read_hex(line, &c.start);
    at = at ? read_hex(at, &size) : NULL;
    if (!at || size == 0 || __builtin_add_overflow(c.start, size, &c.end))
        return;
    at += strspn(at, " ");
    if (!*at || m->known.count + m->fresh.count >= MAX_ENTRIES || m->names.bytes >= MAX_NAME_BYTES)
        return;
    c.name = arena_strndup(&m->names, at, strlen(at));
    if (c.name)
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

/* Lays the fresh entries over the known ones. */
static void merge(struct symbol_perf_map *m) {
    struct codes in = {0}, out = {0};
    struct heap h = {0};
    size_t n = m->known.count + m->fresh.count;
    if (m->fresh.count == 0)
        return;
    _cleanup_(freep) struct order *order = mem_alloc(n * sizeof(*order));
    h.at = mem_alloc(n * sizeof(*h.at));
    bool done = order && h.at && mem_grow((void **)&in.all, &in.capacity, n, sizeof(*in.all)) == 0;
    if (done) {
        if (m->known.count)
            memcpy(in.all, m->known.all, m->known.count * sizeof(*in.all));
        memcpy(in.all + m->known.count, m->fresh.all, m->fresh.count * sizeof(*in.all));
        in.count = n;
        done = sweep(&in, order, &h, &out) == 0;
    }
    free(h.at);
    free(in.all);
    m->fresh.count = 0;
    if (!done) {
        free(out.all);
        return;
    }
    free(m->known.all);
    m->known = out;
}

/* Reads what was appended since the last time. A file that became shorter was written anew. */
static void refresh(struct symbol_perf_map *m) {
    struct stat st;
    if (fstat(m->fd, &st) < 0 || st.st_size == m->seen)
        return;
    m->seen = st.st_size;
    if (st.st_size < m->read_to) {
        m->read_to = 0;
        m->known.count = 0;
    }
    _cleanup_(freep) char *window = mem_alloc(WINDOW);
    ssize_t n;
    while (window && (n = pread(m->fd, window, WINDOW, m->read_to)) > 0) {
        size_t used = add_lines(m, window, (size_t)n);
        m->read_to += (off_t)used;
        if (used == 0)
            break;
    }
    merge(m);
}

/* ---- looking up ---- */

static const char *find(const struct symbol_perf_map *m, uint64_t address) {
    size_t low = bisect(i, m->known.count, m->known.all[i].start <= address);
    return low && address < m->known.all[low - 1].end ? m->known.all[low - 1].name : "";
}

const char *symbol_perf_map_lookup(struct symbol_perf_map *m, uint64_t address) {
    const char *name = find(m, address);
    if (name[0])
        return name;
    refresh(m);
    return find(m, address);
}
