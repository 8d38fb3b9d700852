#include "source/cpu/cpu.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cpu_bpf.skel.h"
#include "source/cpu/cpu_maps.h"
#include "source/cpu/cpu_open.h"
#include "source/cpu/interrupt_cost.h"
#include "source/cpu/metronome.h"
#include "source/cpu/timers.h"

/* Of the sampled CPU's time, that timers' interrupts may take; beyond, ticks from another CPU are worth their cost. */
static const double MAX_TIMER_SHARE = 0.03;

struct cpu_source {
    struct cpu_options options;
    struct cpu_bpf *bpf;
    struct ring_buffer *ring;
    struct cpu_maps *maps; /* NULL when the kernel does not allow it */
    struct timers *timers;
    bool ticks; /* timers are dear: the programs for the metronome are loaded */
    struct interrupt_costs interrupts;
    struct metronome *metronome;    /* NULL: timers alone */
    uint64_t missed;                /* by the metronome */
    int chunk_fd[TABLE_MAX_CHUNKS]; /* inner maps, 0 = none */
    struct unwind_rule *rules;
    cpu_take_fn *take; /* during a poll */
    void *take_ctx;
    int taken_now;
    uint64_t drained_ns; /* the maps' records up to here were handed on */
    uint64_t foreign_ns; /* when they were of other processes alone; 0 when the last were not */
};

/* On a busy host other processes map code all the time: that wakes us no more often than this. */
enum { FOREIGN_MAPS_MS = 20 };

/* ---- opening ---- */

static bool follows(struct cpu_source *s, u32 pid) {
    u32 target;
    struct table_process process;
    return s->options.filter == CPU_FILTER_ALL ||
           (bpf_map_lookup_elem(bpf_map__fd(s->bpf->maps.targets), &pid, &target) == 0 && target == CPU_TARGET) ||
           bpf_map_lookup_elem(bpf_map__fd(s->bpf->maps.processes), &pid, &process) == 0;
}

static void on_mapped(void *ctx, const struct cpu_mapped *record) {
    struct cpu_source *s = ctx;
    if (s->foreign_ns == s->drained_ns && follows(s, record->head.tgid))
        s->foreign_ns = 0;
    s->take(s->take_ctx, &record->head, sizeof(*record));
    s->taken_now++;
}

/* A sample must not overtake the word of what its process mapped before. */
static void drain_maps_until(struct cpu_source *s, uint64_t time_ns) {
    if (!s->maps || time_ns <= s->drained_ns)
        return;
    s->drained_ns = s->foreign_ns = clock_monotonic_ns();
    if (cpu_maps_drain(s->maps, on_mapped, s) == 0)
        s->foreign_ns = 0;
}

static int on_record(void *ctx, void *data, size_t size) {
    struct cpu_source *s = ctx;
    if (size >= sizeof(struct cpu_record_head)) {
        drain_maps_until(s, ((const struct cpu_record_head *)data)->time_ns);
        s->take(s->take_ctx, data, size);
        s->taken_now++;
    }
    return 0;
}

static uint32_t pid_namespace_inode(void) {
    struct stat st;
    const uint32_t initial = 0xEFFFFFFCu; /* PROC_PID_INIT_INO */
    if (stat("/proc/self/ns/pid", &st) < 0 || st.st_ino == initial)
        return 0;
    return (uint32_t)st.st_ino;
}

bool cpu_source_sees_all(void) {
    return pid_namespace_inode() == 0;
}

/* Room for about a second of ordinary stacks; it counts twice in our resident set. */
static u32 ring_bytes(unsigned frequency) {
    return frequency <= 250 ? 2 << 20 : frequency <= 2000 ? 8 << 20 : 16 << 20;
}

static int configure(struct cpu_source *s) {
    struct cpu_bpf *b = s->bpf;
    b->rodata->filter_mode = s->options.filter;
    b->rodata->pid_namespace = pid_namespace_inode();
    b->rodata->own_tgid = (u32)getpid();
    b->rodata->want_kernel = s->options.kernel;
    b->rodata->max_misses = MAX(256u, s->options.frequency / 4);
    b->rodata->max_waits = MAX(512u, 4 * s->options.frequency);
    b->rodata->wake_bytes = ring_bytes(s->options.frequency) / 4;
    int cpus = libbpf_num_possible_cpus();
    if (cpus < 0)
        return cpus;
    int rc = bpf_map__set_max_entries(b->maps.scratch, (u32)cpus);
    if (!rc && s->options.max_processes) {
        rc = bpf_map__set_max_entries(b->maps.processes, s->options.max_processes);
        if (!rc)
            rc = bpf_map__set_max_entries(b->maps.targets, s->options.max_processes);
    }
    if (!rc)
        rc = bpf_map__set_max_entries(b->maps.events, ring_bytes(s->options.frequency));
    bpf_program__set_autoload(b->progs.sample_tick, s->ticks);
    bpf_program__set_autoattach(b->progs.sample_tick, false);
    bpf_program__set_autoload(b->progs.follow_switch, s->ticks);
    return rc;
}

static int map_rules(struct cpu_source *s) {
    void *p = mmap(NULL, sizeof(struct unwind_rule) * TABLE_MAX_RULES, PROT_READ | PROT_WRITE, MAP_SHARED,
                   bpf_map__fd(s->bpf->maps.rules), 0);
    if (p == MAP_FAILED)
        return -errno;
    s->rules = p;
    return 0;
}

static int load_programs(struct cpu_source *s) {
    cpu_bpf__destroy(s->bpf);
    s->bpf = cpu_bpf__open();
    if (!s->bpf)
        return -ENOMEM;
    int rc = configure(s);
    return rc == 0 ? cpu_bpf__load(s->bpf) : rc;
}

static int load(struct cpu_source *s, struct err *err) {
    s->interrupts = interrupt_costs();
    s->ticks = (double)s->interrupts.timer_ns * s->options.frequency > MAX_TIMER_SHARE * 1e9;
    int rc = load_programs(s);
    if (rc < 0 && s->ticks) {
        s->ticks = false; /* what every kernel accepts that can sample at all */
        rc = load_programs(s);
    }
    if (rc == 0)
        rc = map_rules(s);
    if (rc < 0)
        return cpu_explain_failure(rc, err);
    if (s->options.filter == CPU_FILTER_CGROUP) {
        rc = cpu_source_set_cgroup(s, s->options.cgroup_fd);
        if (rc < 0)
            return err_set(err, rc, "Name a cgroup v2 directory under /sys/fs/cgroup",
                           "That is not a cgroup v2 directory");
    }
    s->ring = ring_buffer__new(bpf_map__fd(s->bpf->maps.events), on_record, s, NULL);
    return s->ring ? 0 : cpu_explain_failure(-errno, err);
}

int cpu_source_open(const struct cpu_options *options, struct cpu_source **ret, struct err *err) {
    int rc = cpu_check_kernel(err);
    if (rc < 0)
        return rc;
    _cleanup_(cpu_source_closep) struct cpu_source *s = mem_zalloc(1, sizeof(*s));
    if (!s)
        return err_nomem(err);
    s->options = *options;
    cpu_capture_messages(options->verbose);
    /* Timers and rings per CPU, chunks, and what the caller holds of each process. */
    cpu_raise_file_limit(((size_t)MAX(libbpf_num_possible_cpus(), 1) * 4 * TIMERS_PER_CPU) + TABLE_MAX_CHUNKS + 256 +
                         (size_t)options->max_processes * 3);
    rc = load(s, err);
    if (rc < 0)
        return rc;
    *ret = TAKE_PTR(s);
    return 0;
}

void cpu_source_close(struct cpu_source *s) {
    if (!s)
        return;
    cpu_source_stop(s);
    ring_buffer__free(s->ring);
    cpu_maps_close(s->maps);
    for (u32 i = 0; i < TABLE_MAX_CHUNKS; i++)
        if (s->chunk_fd[i])
            close(s->chunk_fd[i]);
    if (s->rules)
        munmap(s->rules, sizeof(struct unwind_rule) * TABLE_MAX_RULES);
    cpu_bpf__destroy(s->bpf);
    free(s);
}

/* ---- table memory ---- */

void *cpu_source_new_chunk(void *source, u32 index) {
    struct cpu_source *s = source;
    if (index >= TABLE_MAX_CHUNKS || s->chunk_fd[index])
        return NULL;
    LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE);
    int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "scry_chunk", 4, TABLE_CHUNK_BYTES, 1, &opts);
    if (fd < 0)
        return NULL;
    void *p = mmap(NULL, TABLE_CHUNK_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED || bpf_map_update_elem(bpf_map__fd(s->bpf->maps.chunks), &index, &fd, BPF_ANY) < 0) {
        if (p != MAP_FAILED)
            munmap(p, TABLE_CHUNK_BYTES);
        close(fd);
        return NULL;
    }
    s->chunk_fd[index] = fd;
    return p;
}

void cpu_source_free_chunk(void *source, u32 index, void *chunk) {
    struct cpu_source *s = source;
    if (index >= TABLE_MAX_CHUNKS || !s->chunk_fd[index])
        return;
    bpf_map_delete_elem(bpf_map__fd(s->bpf->maps.chunks), &index);
    munmap(chunk, TABLE_CHUNK_BYTES);
    close(s->chunk_fd[index]);
    s->chunk_fd[index] = 0;
}

struct unwind_rule *cpu_source_rules(struct cpu_source *s) {
    return s->rules;
}

/* ---- processes ---- */

int cpu_source_set_cgroup(struct cpu_source *s, int cgroup_fd) {
    u32 zero = 0, fd = (u32)cgroup_fd;
    return bpf_map_update_elem(bpf_map__fd(s->bpf->maps.cgroups), &zero, &fd, BPF_ANY) < 0 ? -errno : 0;
}

int cpu_source_add_target(struct cpu_source *s, u32 pid) {
    u32 target = CPU_TARGET;
    return bpf_map_update_elem(bpf_map__fd(s->bpf->maps.targets), &pid, &target, BPF_ANY) < 0 ? -errno : 0;
}

size_t cpu_source_targets(struct cpu_source *s, u32 *ret, size_t most) {
    size_t n = 0;
    for (u32 at = 0; n < most && bpf_map_get_next_key(bpf_map__fd(s->bpf->maps.targets), n ? &at : NULL, &ret[n]) == 0;)
        at = ret[n++];
    return n;
}

/* After the change: a sample that is being taken may still be of before. */
static void note_change(struct cpu_source *s) {
    __atomic_fetch_add(&s->bpf->bss->processes_changed, 1, __ATOMIC_SEQ_CST);
}

int cpu_source_set_process(struct cpu_source *s, u32 pid, const struct table_process *process) {
    int rc = bpf_map_update_elem(bpf_map__fd(s->bpf->maps.processes), &pid, process, BPF_ANY) < 0 ? -errno : 0;
    note_change(s);
    return rc;
}

void cpu_source_forget_process(struct cpu_source *s, u32 pid) {
    bpf_map_delete_elem(bpf_map__fd(s->bpf->maps.processes), &pid);
    note_change(s);
    cpu_source_clear_misses(s, pid);
}

void cpu_source_clear_misses(struct cpu_source *s, u32 pid) {
    bpf_map_delete_elem(bpf_map__fd(s->bpf->maps.misses), &pid);
}

/* ---- sampling ---- */

/* Without it, timers go on. */
static void start_metronome(struct cpu_source *s, int cpus) {
    if (!s->ticks)
        return;
    struct metronome_options options = {.frequency = s->options.frequency,
                                        .program_fd = bpf_program__fd(s->bpf->progs.sample_tick),
                                        .learned = &s->bpf->bss->tick_frames,
                                        .cpus = s->bpf->bss->cpus,
                                        .n_cpus = MIN(cpus, CPU_MAX_CPUS),
                                        .timers = timers_switch,
                                        .ctx = s->timers};
    if (metronome_start(&options, &s->metronome) < 0)
        s->metronome = NULL;
}

int cpu_source_start(struct cpu_source *s, struct err *err) {
    int cpus = libbpf_num_possible_cpus();
    int rc = cpu_bpf__attach(s->bpf); /* the programs that follow processes */
    if (rc < 0)
        return cpu_explain_failure(rc, err);
    if (cpu_maps_open(&s->maps) < 0)
        s->maps = NULL;
    rc = timers_start(s->bpf->progs.sample_cpu, cpus, s->options.frequency, &s->timers, err);
    if (rc == 0)
        start_metronome(s, cpus);
    return rc;
}

void cpu_source_stop(struct cpu_source *s) {
    s->missed += metronome_missed(s->metronome);
    metronome_free(s->metronome);
    s->metronome = NULL;
    timers_stop(s->timers);
    s->timers = NULL;
    if (s->bpf)
        cpu_bpf__detach(s->bpf);
}

int cpu_source_poll(struct cpu_source *s, int timeout_ms, int fd, cpu_take_fn *take, void *ctx) {
    bool listen = s->maps && clock_monotonic_ns() - s->foreign_ns > FOREIGN_MAPS_MS * 1000000ull;
    /* poll() passes over negative descriptors. */
    struct pollfd fds[3] = {{.fd = ring_buffer__epoll_fd(s->ring), .events = POLLIN},
                            {.fd = fd, .events = POLLIN},
                            {.fd = listen ? cpu_maps_fd(s->maps) : -1, .events = POLLIN}};
    if (s->timers)
        timeout_ms = MIN(timeout_ms, timers_vary(s->timers));
    if (s->maps && !listen)
        timeout_ms = MIN(timeout_ms, FOREIGN_MAPS_MS);
    s->take = take;
    s->take_ctx = ctx;
    s->taken_now = 0;
    if (timeout_ms > 0 && poll(fds, ARRAY_SIZE(fds), timeout_ms) < 0 && errno != EINTR)
        return -errno;
    drain_maps_until(s, UINT64_MAX);
    int rc = ring_buffer__consume(s->ring);
    return rc < 0 && rc != -EINTR ? rc : s->taken_now;
}

void cpu_source_set_eager(struct cpu_source *s, bool eager) {
    s->bpf->bss->eager = eager;
}

/* ---- what it cost ---- */

static uint64_t map_bytes(int fd) {
    char path[64], line[128];
    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
    FILE *f = fopen(path, "re");
    if (!f)
        return 0;
    unsigned long long bytes = 0;
    while (fgets(line, sizeof(line), f))
        if (sscanf(line, "memlock: %llu", &bytes) == 1)
            break;
    fclose(f);
    return bytes;
}

static uint64_t mapped_bytes(void) {
    FILE *f = fopen("/proc/self/smaps", "re");
    char line[512];
    uint64_t total = 0;
    unsigned long long kilobytes;
    bool map = false;
    while (f && fgets(line, sizeof(line), f)) {
        if (strchr("0123456789abcdef", line[0])) /* a mapping; what is said of it begins with a capital */
            map = strstr(line, "anon_inode:bpf-map") != NULL;
        else if (map && sscanf(line, "Rss: %llu kB", &kilobytes) == 1)
            total += kilobytes * 1024;
    }
    if (f)
        fclose(f);
    return total;
}

void cpu_source_stats(struct cpu_source *s, struct cpu_stats *ret) {
    uint64_t taken = 0, ticked = 0, spent_ns = 0;
    for (unsigned i = 0; i < CPU_MAX_CPUS; i++) {
        taken += s->bpf->bss->cpus[i].taken;
        ticked += s->bpf->bss->cpus[i].ticked;
        spent_ns += s->bpf->bss->cpus[i].spent_ns;
    }
    if (s->options.verbose && s->ticks)
        fprintf(stderr, "metronome: it took %" PRIu64 " of %" PRIu64 " samples, and missed %" PRIu64 "\n", ticked,
                taken, s->missed);
    *ret = (struct cpu_stats){
        .due = taken + s->missed,
        .taken = taken,
        .spent_ns = spent_ns,
        .interrupts_ns = (taken - ticked) * s->interrupts.timer_ns + ticked * s->interrupts.call_ns,
        .unheard = s->maps ? cpu_maps_lost(s->maps) : 0,
        .mapped_bytes = mapped_bytes(),
    };
    struct bpf_map *map;
    bpf_object__for_each_map(map, s->bpf->obj) ret->map_bytes += map_bytes(bpf_map__fd(map));
    for (u32 i = 0; i < TABLE_MAX_CHUNKS; i++)
        if (s->chunk_fd[i])
            ret->map_bytes += map_bytes(s->chunk_fd[i]);
}
