#include "source/cpu/cpu_maps.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#include "base/mem.h"

enum {
    DATA_PAGES = 4,
    PAGE_BYTES = 4096,
    RING_BYTES = (DATA_PAGES + 1) * PAGE_BYTES,
    DATA_BYTES = DATA_PAGES * PAGE_BYTES
};

struct maps_ring {
    int fd;
    struct perf_event_mmap_page *page; /* followed by the data */
};

struct cpu_maps {
    int epoll;
    struct maps_ring *rings;
    size_t count;
};

void cpu_maps_close(struct cpu_maps *m) {
    if (!m)
        return;
    for (size_t i = 0; i < m->count; i++) {
        munmap(m->rings[i].page, RING_BYTES);
        close(m->rings[i].fd);
    }
    if (m->epoll >= 0)
        close(m->epoll);
    free(m->rings);
    free(m);
}

static int open_ring(int cpu, struct maps_ring *ret) {
    struct perf_event_attr attr = {
        .size = sizeof(attr),
        .type = PERF_TYPE_SOFTWARE,
        .config = PERF_COUNT_SW_DUMMY,
        .mmap = 1, /* executable mappings only */
        .sample_type = PERF_SAMPLE_TIME,
        .sample_id_all = 1,
        .use_clockid = 1,
        .clockid = CLOCK_MONOTONIC,
        .watermark = 1,
        .wakeup_watermark = 1,
    };
    int fd = (int)syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
    if (fd < 0)
        return -errno;
    void *p = mmap(NULL, RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED) {
        int rc = -errno;
        close(fd);
        return rc;
    }
    *ret = (struct maps_ring){.fd = fd, .page = p};
    return 0;
}

static int open_rings(struct cpu_maps *m) {
    int cpus = libbpf_num_possible_cpus();
    m->rings = mem_zalloc((size_t)MAX(cpus, 1), sizeof(*m->rings));
    m->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!m->rings || m->epoll < 0)
        return -ENOMEM;
    for (int cpu = 0; cpu < cpus; cpu++) {
        int rc = open_ring(cpu, &m->rings[m->count]);
        if (rc == -ENODEV) /* offline */
            continue;
        if (rc < 0)
            return rc;
        struct epoll_event e = {.events = EPOLLIN};
        if (epoll_ctl(m->epoll, EPOLL_CTL_ADD, m->rings[m->count++].fd, &e) < 0)
            return -errno;
    }
    return 0;
}

int cpu_maps_open(struct cpu_maps **ret) {
    _cleanup_(cpu_maps_closep) struct cpu_maps *m = mem_zalloc(1, sizeof(*m));
    if (!m)
        return -ENOMEM;
    m->epoll = -1;
    int rc = open_rings(m);
    if (rc < 0)
        return rc;
    *ret = TAKE_PTR(m);
    return 0;
}

int cpu_maps_fd(const struct cpu_maps *m) {
    return m->epoll;
}

/* A record may wrap around the ring's end. What matters of it: header, pid and tid at its start, the
 * time at its end. */
static void copy_out(const struct maps_ring *r, uint64_t at, void *to, size_t size) {
    const uint8_t *data = (const uint8_t *)r->page + PAGE_BYTES;
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)to)[i] = data[(at + i) % DATA_BYTES];
}

void cpu_maps_drain(struct cpu_maps *m, cpu_mapped_fn *mapped, void *ctx) {
    for (size_t i = 0; i < m->count; i++) {
        struct maps_ring *r = &m->rings[i];
        uint64_t head = __atomic_load_n(&r->page->data_head, __ATOMIC_ACQUIRE), tail = r->page->data_tail;
        while (tail < head) {
            struct {
                struct perf_event_header header;
                u32 pid, tid;
            } record;
            copy_out(r, tail, &record, sizeof(record));
            if (record.header.size < sizeof(record) + sizeof(uint64_t))
                break;
            uint64_t time;
            copy_out(r, tail + record.header.size - sizeof(time), &time, sizeof(time));
            if (record.header.type == PERF_RECORD_MMAP)
                mapped(ctx, record.pid, time);
            tail += record.header.size;
        }
        __atomic_store_n(&r->page->data_tail, head, __ATOMIC_RELEASE);
    }
}
