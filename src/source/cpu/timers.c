#include "source/cpu/timers.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "source/cpu/cpu_open.h"
#include "source/cpu/vary.h"

enum {
    HELD_BEATS = 8, /* for so many periods, on average, one is kept, … */
    HELD_MS = 100,  /* … and at least so long, … */
    HELD_CPUS = 8,  /* … for each of so many CPUs: a new one interrupts its CPU */
};

struct timers {
    struct bpf_link **links; /* each closes its own event */
    int *events;
    size_t count;
    unsigned frequency;
    uint64_t held_ns; /* for how long a period is kept */
    uint64_t next_ns; /* when new ones are due */
    uint64_t random;
    bool off;
};

/* Of a CPU's timers. Their rates are drawn in pairs, one as much above the mean as the other is below, so they add up to
 * the frequency. A new period begins with a new beat: half of one is lost on average, and the rate is higher by that. */
static void draw_periods(struct timers *t, uint64_t periods[TIMERS_PER_CPU]) {
    const uint64_t hz = 1000000, ns_uhz = 1000000000000000; /* a period in nanoseconds times its rate in microhertz */
    uint64_t mean_uhz = t->frequency * hz / TIMERS_PER_CPU;
    uint64_t lost_uhz = ns_uhz / (2 * t->held_ns);
    for (unsigned i = 0; i < TIMERS_PER_CPU; i += 2) {
        uint64_t rate_uhz = vary(&t->random, mean_uhz);
        periods[i] = ns_uhz / (rate_uhz + lost_uhz);
        periods[i + 1] = ns_uhz / (2 * mean_uhz - rate_uhz + lost_uhz);
    }
}

static int open_event(int cpu, uint64_t period) {
    struct perf_event_attr attr = {
        .size = sizeof(attr),
        .type = PERF_TYPE_SOFTWARE,
        .config = PERF_COUNT_SW_CPU_CLOCK,
        .sample_period = period,
        .exclude_idle = 1,
    };
    int fd = (int)syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int start_cpu(struct timers *t, struct bpf_program *program, int cpu, struct err *err) {
    uint64_t periods[TIMERS_PER_CPU];
    draw_periods(t, periods);
    for (unsigned i = 0; i < TIMERS_PER_CPU; i++) {
        int fd = open_event(cpu, periods[i]);
        if (fd == -ENODEV) /* the CPU is offline */
            return 0;
        if (fd < 0)
            return cpu_explain_failure(fd, err);
        struct bpf_link *link = bpf_program__attach_perf_event(program, fd);
        if (!link) {
            int rc = -errno;
            close(fd);
            return cpu_explain_failure(rc, err);
        }
        t->events[t->count] = fd;
        t->links[t->count++] = link;
    }
    return 0;
}

int timers_start(struct bpf_program *program, int cpus, unsigned frequency, struct timers **ret, struct err *err) {
    _cleanup_(timers_stopp) struct timers *t = mem_zalloc(1, sizeof(*t));
    if (!t)
        return err_nomem(err);
    uint64_t beats_ns = HELD_BEATS * TIMERS_PER_CPU * 1000000000ull / frequency;
    t->frequency = frequency;
    t->held_ns = MAX(beats_ns, HELD_MS * 1000000ull) * MAX((uint64_t)cpus / HELD_CPUS, 1u);
    t->random = clock_monotonic_ns() | 1;
    t->links = mem_zalloc((size_t)MAX(cpus, 1) * TIMERS_PER_CPU, sizeof(struct bpf_link *));
    t->events = mem_zalloc((size_t)MAX(cpus, 1) * TIMERS_PER_CPU, sizeof(int));
    if (!t->links || !t->events)
        return err_nomem(err);
    int rc = 0;
    for (int cpu = 0; cpu < cpus && rc == 0; cpu++)
        rc = start_cpu(t, program, cpu, err);
    t->next_ns = clock_monotonic_ns() + t->held_ns;
    if (rc == 0)
        *ret = TAKE_PTR(t);
    return rc;
}

void timers_stop(struct timers *t) {
    if (!t)
        return;
    for (size_t i = 0; i < t->count; i++)
        bpf_link__destroy(t->links[i]);
    free(t->links);
    free(t->events);
    free(t);
}

void timers_switch(void *timers, bool on) {
    struct timers *t = timers;
    __atomic_store_n(&t->off, !on, __ATOMIC_RELAXED);
    for (size_t i = 0; i < t->count; i++)
        ioctl(t->events[i], on ? PERF_EVENT_IOC_ENABLE : PERF_EVENT_IOC_DISABLE, 0);
}

static void vary_cpu(struct timers *t, const int *events) {
    uint64_t periods[TIMERS_PER_CPU];
    draw_periods(t, periods);
    for (unsigned i = 0; i < TIMERS_PER_CPU; i++)
        ioctl(events[i], PERF_EVENT_IOC_PERIOD, &periods[i]);
}

int timers_vary(struct timers *t) {
    uint64_t now = clock_monotonic_ns();
    if (now >= t->next_ns) {
        t->next_ns = now + t->held_ns;
        for (size_t i = 0; i + TIMERS_PER_CPU <= t->count && !__atomic_load_n(&t->off, __ATOMIC_RELAXED);
             i += TIMERS_PER_CPU)
            vary_cpu(t, t->events + i);
    }
    return (int)MIN((t->next_ns - now) / 1000000 + 1, 60000u);
}
