/* What live processes and core files have in common: lifetime, cached reads, finding mappings. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/bisect.h"
#include "target/core.h"
#include "target/internal.h"

static void cache_free(struct page_cache *c) {
    if (c)
        free(c->pages);
    free(c);
}

void target_close(struct target *t) {
    if (!t)
        return;
    target_resume(t);
    if (t->proc_fd >= 0)
        close(t->proc_fd);
    if (t->memory_fd >= 0)
        close(t->memory_fd);
    if (t->ended && t->root_fd >= 0)
        close(t->root_fd);
    core_close(t->core);
    maps_free(&t->mappings);
    target_info_clear(&t->info);
    cache_free(t->cache);
    free(t);
}

pid_t target_pid(const struct target *t) {
    return t->pid;
}

/* ---- memory ---- */

static int read_now(struct target *t, uint64_t address, void *dst, size_t size) {
    return t->core ? core_read(t->core, address, dst, size) : live_read(t, address, dst, size);
}

static struct page_cache *cache_new(void) {
    struct page_cache *c = mem_zalloc(1, sizeof(*c));
    if (c && !(c->pages = mem_alloc_large(CACHED_PAGES * sizeof(*c->pages)))) {
        free(c);
        c = NULL;
    }
    return c;
}

static const uint8_t *page_of(struct target *t, uint64_t start) {
    size_t slot = (start / PAGE_BYTES * 0x9E3779B97F4A7C15ull >> 32) % CACHED_PAGES;
    struct page_tag *tag = &t->cache->tags[slot];
    uint8_t *page = t->cache->pages[slot];
    if (tag->epoch == t->epoch && tag->address == start)
        return page;
    tag->epoch = 0;
    if (read_now(t, start, page, PAGE_BYTES) < 0)
        return NULL;
    *tag = (struct page_tag){.address = start, .epoch = t->epoch};
    return page;
}

/* Nothing changes while the target stands still, and a walk comes back to the same pages. */
static int read_cached(struct target *t, uint64_t address, uint8_t *dst, size_t size) {
    while (size) {
        size_t within = address & (PAGE_BYTES - 1), n = MIN(size, PAGE_BYTES - within);
        const uint8_t *bytes = page_of(t, address - within);
        if (bytes)
            memcpy(dst, bytes + within, n);
        int rc = bytes ? 0 : read_now(t, address, dst, n); /* the page may be there in part */
        if (rc < 0)
            return rc;
        dst += n;
        address += n;
        size -= n;
    }
    return 0;
}

int target_read(struct target *t, uint64_t address, void *dst, size_t size) {
    if (size == 0)
        return 0;
    if (address + size < address || (address + size - 1) >> 63)
        return -EFAULT;
    bool still = t->core || t->tracer;
    if (still && size <= PAGE_BYTES && !t->cache)
        t->cache = cache_new();
    return still && size <= PAGE_BYTES && t->cache ? read_cached(t, address, dst, size)
                                                   : read_now(t, address, dst, size);
}

/* ---- mappings and files ---- */

int target_refresh_mappings(struct target *t, bool *ret_changed, struct err *err) {
    bool changed = false;
    int rc = t->core ? 0 : live_refresh(t, &changed, err);
    if (ret_changed)
        *ret_changed = changed;
    return rc;
}

const struct target_mapping *target_mappings(const struct target *t, size_t *ret_count) {
    *ret_count = t->mappings.count;
    return t->mappings.all;
}

const struct target_mapping *target_find_mapping(const struct target *t, uint64_t address) {
    size_t low = bisect(i, t->mappings.count, t->mappings.all[i].end <= address);
    return low < t->mappings.count && t->mappings.all[low].start <= address ? &t->mappings.all[low] : NULL;
}

int target_open_mapping(struct target *t, const struct target_mapping *m, struct err *err) {
    if (strcmp(m->path, "[vdso]") == 0)
        return open_memory_as_file(t, m);
    if (m->path[0] != '/')
        return err_set(err, -ENOENT, NULL, "No file backs the memory at %#llx", (unsigned long long)m->start);
    return t->core ? core_open_mapping(t->core, m, err) : live_open_mapping(t, m, err);
}

int target_open_path(struct target *t, const char *path) {
    return t->core ? core_open_path(t->core, path) : live_open_path(t, path);
}

int target_open_root(struct target *t) {
    if (!t->core)
        return open_root(t);
    int fd = fcntl(t->core->root_fd, F_DUPFD_CLOEXEC, 0);
    return fd < 0 ? -errno : fd;
}

int target_open_in_root(int root, const char *path) {
    return open_beneath(root, path);
}

bool target_ids_mean_it(const struct target *t) {
    return !t->core || t->core->root_named;
}

uint64_t target_missing_bytes(const struct target *t) {
    return t->core ? t->core->missing : 0;
}

const struct target_info *target_get_info(struct target *t) {
    if (!t->info_read && !t->core && read_info(t->proc_fd, t->pid, &t->info) < 0)
        t->info.pid = t->info.ns_pid = t->pid;
    t->info_read = true;
    return &t->info;
}

/* ---- threads ---- */

int target_threads(struct target *t, pid_t **ret, size_t *ret_count) {
    return t->core ? core_threads(t->core, ret, ret_count) : proc_numbers(t->proc_fd, "task", ret, ret_count);
}

int target_thread_registers(struct target *t, pid_t tid, struct target_registers *ret, struct err *err) {
    return t->core ? core_registers(t->core, tid, ret, err) : live_registers(t, tid, ret, err);
}
