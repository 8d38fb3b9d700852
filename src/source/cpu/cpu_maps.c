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

/* A ring holds what one CPU maps while we load a file's tables: some 100 ms of a shell script that starts a command
 * every millisecond, with ten mappings each. */
enum {
    DATA_PAGES = 32,
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
    uint64_t lost;
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
        .mmap2 = 1,
        .comm = 1,
        .comm_exec = 1,
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

/* ---- records ---- */

/* A record may wrap around the ring's end. */
static void copy_out(const struct maps_ring *r, uint64_t at, void *to, size_t size) {
    const uint8_t *data = (const uint8_t *)r->page + PAGE_BYTES;
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)to)[i] = data[(at + i) % DATA_BYTES];
}

/* What PERF_RECORD_COMM and PERF_RECORD_MMAP2 begin with, as perf_event_open(2) says. */
struct record_start {
    struct perf_event_header header;
    u32 pid, tid;
};

struct record_mmap2 {
    struct record_start start;
    uint64_t address, size, offset;
    u32 major, minor;
    uint64_t inode, generation;
    u32 protection, flags;
    /* the path with its NUL, padded to eight bytes; then the time */
};

static bool read_mmap2(const struct maps_ring *r, uint64_t at, struct cpu_mapped *ret) {
    struct record_mmap2 m;
    copy_out(r, at, &m, sizeof(m));
    size_t all = m.start.header.size, tail = sizeof(uint64_t);
    if (all < sizeof(m) + tail || m.address + m.size < m.address)
        return false;
    size_t path = all - sizeof(m) - tail;
    if (path > sizeof(ret->path))
        path = 0;
    copy_out(r, at + sizeof(m), ret->path, path);
    ret->path[path ? path - 1 : 0] = '\0';
    ret->start = m.address;
    ret->end = m.address + m.size;
    ret->offset = m.offset;
    ret->inode = m.inode;
    ret->major = m.major;
    ret->minor = m.minor;
    return true;
}

/* Takes apart the record at `at`. Returns whether it is one that counts. */
static bool read_record(const struct maps_ring *r, uint64_t at, const struct record_start *start,
                        struct cpu_mapped *ret) {
    uint64_t time;
    copy_out(r, at + start->header.size - sizeof(time), &time, sizeof(time));
    ret->head = (struct cpu_record_head){.tgid = start->pid, .tid = start->tid, .time_ns = time};
    if (start->header.type == PERF_RECORD_MMAP2) {
        ret->head.type = CPU_RECORD_MAP;
        return read_mmap2(r, at, ret);
    }
    ret->head.type = CPU_RECORD_NEW_IMAGE;
    return start->header.type == PERF_RECORD_COMM && start->header.misc & PERF_RECORD_MISC_COMM_EXEC;
}

/* After the header come an identity and how many there was no room for. */
static uint64_t lost_in(const struct maps_ring *r, uint64_t at) {
    uint64_t n;
    copy_out(r, at + sizeof(struct perf_event_header) + sizeof(uint64_t), &n, sizeof(n));
    return n;
}

uint64_t cpu_maps_lost(const struct cpu_maps *m) {
    return m->lost;
}

size_t cpu_maps_drain(struct cpu_maps *m, cpu_mapped_fn *take, void *ctx) {
    size_t n = 0;
    for (size_t i = 0; i < m->count; i++) {
        struct maps_ring *r = &m->rings[i];
        uint64_t head = __atomic_load_n(&r->page->data_head, __ATOMIC_ACQUIRE), tail = r->page->data_tail;
        while (tail < head) {
            struct record_start start;
            copy_out(r, tail, &start, sizeof(start));
            if (start.header.size < sizeof(start) + sizeof(uint64_t))
                break;
            struct cpu_mapped record;
            if (start.header.type == PERF_RECORD_LOST)
                m->lost += lost_in(r, tail);
            else if (read_record(r, tail, &start, &record))
                take(ctx, &record);
            tail += start.header.size;
            n++;
        }
        __atomic_store_n(&r->page->data_tail, head, __ATOMIC_RELEASE);
    }
    return n;
}
