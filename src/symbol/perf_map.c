/* perf maps: lines "start size name" in hexadecimal that just-in-time compilers append to
 * /tmp/perf-PID.map. Hostile: anybody may have written the file. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/file.h"
#include "symbol/internal.h"

enum { MAX_PERF_MAP_BYTES = 256 << 20, MAX_PERF_MAP_ENTRIES = 4 << 20 };

struct perf_map_entry {
    uint64_t start, size;
    uint32_t order; /* later entries replace earlier ones */
    const char *name;
};

struct symbol_perf_map {
    int fd;
    off_t read_to;
    struct arena arena;
    struct perf_map_entry *all;
    size_t count, capacity;
};

int symbol_perf_map_open(struct target *t, struct symbol_perf_map **ret) {
    char path[64];
    const struct target_info *info = target_get_info(t);
    snprintf(path, sizeof(path), "/tmp/perf-%d.map", (int)info->ns_pid);
    int fd = target_open_path(t, path);
    struct stat st;
    if (fd < 0)
        return -ENOENT;
    struct symbol_perf_map *m = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? mem_zalloc(1, sizeof(*m)) : NULL;
    if (!m) {
        close(fd);
        return -ENOENT;
    }
    m->fd = fd;
    *ret = m;
    return 0;
}

void symbol_perf_map_close(struct symbol_perf_map *m) {
    if (!m)
        return;
    close(m->fd);
    arena_free(&m->arena);
    free(m->all);
    free(m);
}

static void add_line(struct symbol_perf_map *m, const char *line, const char *end) {
    char *after;
    struct perf_map_entry e = {.start = strtoull(line, &after, 16), .order = (uint32_t)m->count};
    e.size = strtoull(after, &after, 16);
    while (after < end && *after == ' ')
        after++;
    if (after >= end || e.size == 0 || m->count >= MAX_PERF_MAP_ENTRIES ||
        mem_grow((void **)&m->all, &m->capacity, m->count + 1, sizeof(*m->all)) < 0)
        return;
    e.name = arena_strndup(&m->arena, after, (size_t)(end - after));
    if (e.name)
        m->all[m->count++] = e;
}

static int by_start(const void *a, const void *b) {
    const struct perf_map_entry *x = a, *y = b;
    if (x->start != y->start)
        return x->start < y->start ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

/* Reads what was appended since the last time, whole lines only. */
static void refresh(struct symbol_perf_map *m) {
    struct stat st;
    if (fstat(m->fd, &st) < 0 || st.st_size <= m->read_to || st.st_size > MAX_PERF_MAP_BYTES)
        return;
    size_t size = (size_t)(st.st_size - m->read_to);
    _cleanup_(freep) char *text = mem_alloc(size + 1);
    ssize_t n = text ? pread(m->fd, text, size, m->read_to) : -1;
    if (n <= 0)
        return;
    text[n] = '\0';
    char *line = text, *newline;
    while ((newline = memchr(line, '\n', (size_t)(text + n - line)))) {
        *newline = '\0';
        add_line(m, line, newline);
        line = newline + 1;
    }
    m->read_to += line - text;
    if (m->count)
        qsort(m->all, m->count, sizeof(*m->all), by_start);
}

static const char *find(const struct symbol_perf_map *m, uint64_t address) {
    size_t low = 0, high = m->count;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (m->all[mid].start <= address)
            low = mid + 1;
        else
            high = mid;
    }
    return low && address - m->all[low - 1].start < m->all[low - 1].size ? m->all[low - 1].name : "";
}

const char *symbol_perf_map_lookup(struct symbol_perf_map *m, uint64_t address) {
    const char *name = find(m, address);
    if (name[0])
        return name;
    refresh(m);
    return find(m, address);
}
