#include "source/cpu/metronome.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/worker.h"
#include "source/cpu/vary.h"

enum {
    WINDOW_TICKS = 64,
    MAX_BEHIND = 16,                    /* ticks that are made up for, twice as fast, when the thread could not run */
    MAX_HURRIED = WINDOW_TICKS * 3 / 4, /* ticks of a window that make up for others: between them it does not sleep */
    MAX_BAD = WINDOW_TICKS / 8,     /* further ticks of a window that are left out, or were at somebody's cost, … */
    MAX_PASSED = WINDOW_TICKS / 32, /* … or find a target on the thread's own CPU, where it cannot be sampled */
    BAD_WINDOW = 2,                 /* what such a window adds to a sum that every good one makes smaller by one, … */
    MAX_BAD_SUM = 6,                /* … before the thread moves or gives up */
    REST_MS = 100,                  /* for how long timers take over at first; each time in a row twice as long */
    MAX_REST_MS = 6400,
    MAX_DOUBTS = 64,   /* ticks between two looks at a CPU that runs something else for long */
    MOMENT_NS = 50000, /* see wait_until() */
    LOOK_MS = 10,      /* how late it hears that it is to end, at most */
};

struct metronome {
    struct metronome_options options;
    struct worker *worker;
    cpu_set_t allowed; /* of this process, before */
    unsigned *doubts;  /* per CPU: ticks since it runs something else, as far as is known */
    uint64_t random;
    uint64_t missed;
    uint64_t ticked_ns; /* when it last ticked */
    bool refused;       /* the kernel does not run programs on other CPUs */
    bool stop;
};

static uint32_t runs(const struct metronome *m, int cpu) {
    return __atomic_load_n(&m->options.cpus[cpu].runs, __ATOMIC_RELAXED);
}

static bool stopped(const struct metronome *m) {
    return __atomic_load_n(&m->stop, __ATOMIC_RELAXED);
}

/* ---- ticks ---- */

static void tick_cpu(struct metronome *m, int cpu) {
    LIBBPF_OPTS(bpf_test_run_opts, run, .flags = BPF_F_TEST_RUN_ON_CPU, .cpu = (u32)cpu);
    int rc = bpf_prog_test_run_opts(m->options.program_fd, &run);
    m->refused |= rc < 0 && rc != -ENXIO; /* that is a CPU that went offline */
}

static bool is_to_sample(const struct metronome *m, int cpu, int own) {
    return cpu != own && runs(m, cpu) == CPU_RUNS_TARGET;
}

/* Whether to ask a CPU that seems to run something else. Kernels have been seen that do not report the switch away from
 * some processes, so that it may run a target again: this is found out at once, at the price of few interrupts. */
static bool is_in_doubt(struct metronome *m, int cpu, int own) {
    uint32_t now = runs(m, cpu);
    if (cpu == own || (now != CPU_RUNS_OTHER && now != CPU_RUNS_UNKNOWN)) {
        m->doubts[cpu] = 0;
        return false;
    }
    unsigned n = ++m->doubts[cpu];
    return n < MAX_DOUBTS ? (n & (n - 1)) == 0 : n % MAX_DOUBTS == 0;
}

static void tick(struct metronome *m, int own) {
    for (int cpu = 0; cpu < m->options.n_cpus; cpu++)
        if (is_in_doubt(m, cpu, own) || is_to_sample(m, cpu, own))
            tick_cpu(m, cpu);
}

static uint64_t interval_of(const struct metronome *m) {
    return 1000000000u / m->options.frequency;
}

static uint64_t next_interval(struct metronome *m) {
    return vary(&m->random, interval_of(m));
}

static void sleep_until(uint64_t time_ns) {
    struct timespec at = {.tv_sec = (time_t)(time_ns / 1000000000), .tv_nsec = (long)(time_ns % 1000000000)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

/* How time was kept in a window. */
struct pace {
    unsigned left_out, hurried; /* ticks */
};

/* Of the ticks since `next`, more than can be made up for are not: counts them as missed. Returns how many. */
static unsigned forgo(struct metronome *m, int own, uint64_t *next) {
    uint64_t interval = interval_of(m), now = clock_monotonic_ns();
    uint64_t behind = now > *next ? (now - *next) / interval : 0;
    if (behind <= MAX_BEHIND)
        return 0;
    for (int cpu = 0; cpu < m->options.n_cpus; cpu++)
        if (is_to_sample(m, cpu, own))
            __atomic_fetch_add(&m->missed, behind - MAX_BEHIND, __ATOMIC_RELAXED);
    *next += (behind - MAX_BEHIND) * interval;
    return (unsigned)(behind - MAX_BEHIND);
}

/* To sleep for a moment takes longer than that. */
static void wait_until(uint64_t time_ns) {
    if (time_ns > clock_monotonic_ns() + MOMENT_NS)
        sleep_until(time_ns);
    while (clock_monotonic_ns() < time_ns)
        ;
}

/* Ticks at *next, an interval later, but half an interval after the last tick at the earliest. */
static void beat(struct metronome *m, int own, uint64_t *next, struct pace *pace) {
    uint64_t soonest = m->ticked_ns + interval_of(m) / 2;
    *next += next_interval(m);
    pace->left_out += forgo(m, own, next);
    if (*next > soonest) {
        sleep_until(*next);
    } else {
        pace->hurried++;
        wait_until(soonest);
    }
    m->ticked_ns = clock_monotonic_ns();
    tick(m, own);
}

static bool is_kept(const struct pace *pace) {
    return pace->left_out <= MAX_BAD && pace->hurried <= MAX_HURRIED;
}

/* What the thread did to others on its own CPU, since some time. */
struct disturbed {
    uint32_t displaced, passed;
};

static struct disturbed disturbed_since(const struct cpu_state *own, struct disturbed before) {
    return (struct disturbed){.displaced = __atomic_load_n(&own->displaced, __ATOMIC_RELAXED) - before.displaced,
                              .passed = __atomic_load_n(&own->passed, __ATOMIC_RELAXED) - before.passed};
}

/* One window of ticks, which ends as soon as it is a bad one: what a target does on the thread's own CPU is not sampled
 * meanwhile. Returns whether time was kept, and nobody disturbed. */
static bool keep_time(struct metronome *m, uint64_t *next) {
    int own = sched_getcpu();
    if (own < 0 || own >= m->options.n_cpus)
        return false;
    const struct cpu_state *c = &m->options.cpus[own];
    struct disturbed before = disturbed_since(c, (struct disturbed){0}), now = {0};
    struct pace pace = {0};
    bool good = true;
    for (unsigned i = 0; i < WINDOW_TICKS && good && !stopped(m); i++) {
        beat(m, own, next, &pace);
        now = disturbed_since(c, before);
        good = !m->refused && is_kept(&pace) && now.displaced <= MAX_BAD && now.passed <= MAX_PASSED;
    }
    __atomic_fetch_add(&m->missed, now.passed, __ATOMIC_RELAXED);
    return good;
}

/* ---- where to sit ---- */

static void ask_others(struct metronome *m) {
    for (int cpu = 0; cpu < m->options.n_cpus; cpu++)
        if (runs(m, cpu) == CPU_RUNS_UNKNOWN || runs(m, cpu) == CPU_RUNS_OTHER)
            tick_cpu(m, cpu);
}

/* Tells on which CPUs all of scry runs. The thread that takes up the samples has much to do at such rates: on a target's
 * CPU it would cost the target that, and drive it to the metronome's. */
static bool seat_everybody(const cpu_set_t *cpus) {
    DIR *tasks = opendir("/proc/self/task");
    bool all = tasks != NULL;
    for (struct dirent *e; tasks && (e = readdir(tasks)) != NULL;)
        if (e->d_name[0] != '.')
            all &= sched_setaffinity(atoi(e->d_name), sizeof(*cpus), cpus) == 0 || errno == ESRCH; /* it ended */
    if (tasks)
        closedir(tasks);
    return all;
}

/* Sits down where nobody else runs. Returns whether there is such a CPU. */
static bool find_seat(struct metronome *m) {
    cpu_set_t idle;
    CPU_ZERO(&idle);
    sleep_until(clock_monotonic_ns() + 1000000); /* what its own CPU runs is known when it slept */
    ask_others(m);
    for (int cpu = 0; cpu < MIN(m->options.n_cpus, CPU_SETSIZE); cpu++) {
        uint32_t now = runs(m, cpu);
        if (CPU_ISSET(cpu, &m->allowed) && (now == CPU_RUNS_IDLE || now == CPU_RUNS_SCRY))
            CPU_SET(cpu, &idle);
    }
    return !m->refused && CPU_COUNT(&idle) > 0 && seat_everybody(&idle);
}

/* Ticks beside the timers until the program has learned what it needs to know. Returns whether it has. */
static bool teach(struct metronome *m) {
    for (unsigned i = 0; i < WINDOW_TICKS && !*m->options.learned && !stopped(m); i++) {
        sleep_until(clock_monotonic_ns() + next_interval(m));
        tick(m, sched_getcpu());
    }
    return *m->options.learned != 0;
}

/* Ticks in place of the timers, as long as it can. Returns for how long it could, in nanoseconds. */
static uint64_t stand_in(struct metronome *m) {
    uint64_t began = clock_monotonic_ns(), next = began;
    m->options.timers(m->options.ctx, false);
    for (unsigned bad = 0; bad < MAX_BAD_SUM && !stopped(m);)
        bad = keep_time(m, &next) ? bad - (bad > 0) : bad + BAD_WINDOW;
    if (!stopped(m))
        m->options.timers(m->options.ctx, true);
    return clock_monotonic_ns() - began;
}

static void rest(const struct metronome *m, unsigned ms) {
    for (unsigned i = 0; i < ms / LOOK_MS && !stopped(m); i++)
        sleep_until(clock_monotonic_ns() + LOOK_MS * 1000000);
}

static void run(void *arg) {
    struct metronome *m = arg;
    unsigned rest_ms = REST_MS;
    prctl(PR_SET_TIMERSLACK, 1);
    /* Before scry's own other threads. It never runs long, and only where nobody else does. */
    sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){.sched_priority = 1});
    while (!stopped(m) && !m->refused) {
        uint64_t kept_ns = find_seat(m) && teach(m) ? stand_in(m) : 0;
        seat_everybody(&m->allowed);
        rest_ms = kept_ns > 1000000000 ? REST_MS : rest_ms;
        rest(m, rest_ms);
        rest_ms = MIN(2 * rest_ms, MAX_REST_MS);
    }
}

int metronome_start(const struct metronome_options *options, struct metronome **ret) {
    _cleanup_(metronome_freep) struct metronome *m = mem_zalloc(1, sizeof(*m));
    if (!m)
        return -ENOMEM;
    m->options = *options;
    m->random = clock_monotonic_ns() | 1;
    m->doubts = mem_zalloc((size_t)options->n_cpus, sizeof(*m->doubts));
    if (!m->doubts)
        return -ENOMEM;
    if (sched_getaffinity(0, sizeof(m->allowed), &m->allowed) < 0)
        return -errno;
    if (CPU_COUNT(&m->allowed) < 2)
        return -ENOTSUP;
    int rc = worker_new("scry-metronome", &m->worker);
    if (rc < 0)
        return rc;
    worker_begin(m->worker, run, m);
    *ret = TAKE_PTR(m);
    return 0;
}

void metronome_free(struct metronome *m) {
    if (!m)
        return;
    __atomic_store_n(&m->stop, true, __ATOMIC_RELAXED);
    worker_free(m->worker);
    free(m->doubts);
    free(m);
}

uint64_t metronome_missed(const struct metronome *m) {
    return m ? __atomic_load_n(&m->missed, __ATOMIC_RELAXED) : 0;
}
