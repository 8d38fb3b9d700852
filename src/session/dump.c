/* Every thread's stack at one instant: of a stopped live process, or of a core file. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "base/bisect.h"
#include "base/clock.h"
#include "base/sort.h"
#include "session/assemble.h"
#include "session/session.h"

enum {
    BULK_BYTES = 6 << 20, /* of small allocations: about what a dump with a debug file takes */
    RULES_BYTES = TABLE_MAX_RULES * sizeof(struct unwind_rule), /* mapped, since few of them are touched */
};

struct dump {
    struct profile *profile;
    struct tables *tables;
    struct unwind_rule *rules;
    struct session_files files;
    struct assembler *assembler;
    struct session_process *process;
    struct walk_stack *walk;
};

/* A walk host that reads a stopped target. */
struct target_host {
    struct walk_host host; /* must be first */
    struct target *target;
};

static int read_target(struct walk_host *host, u64 address, void *dst, size_t size) {
    return target_read(((struct target_host *)host)->target, address, dst, size);
}

static void dump_free(struct dump *d) {
    assembler_free(d->assembler);
    session_process_close(d->process);
    session_files_free(&d->files);
    tables_free(d->tables);
    profile_free(d->profile);
    if (d->rules)
        munmap(d->rules, RULES_BYTES);
    free(d->walk);
}

static int dump_init(struct dump *d, struct err *err) {
    mem_take_in_bulk(BULK_BYTES);
    d->profile = profile_new();
    void *rules = mmap(NULL, RULES_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    d->rules = rules == MAP_FAILED ? NULL : rules;
    d->walk = mem_alloc(sizeof(*d->walk));
    if (!d->profile || !d->rules || !d->walk)
        return err_nomem(err);
    profile_value_type(d->profile, "threads", "count");
    if (tables_new(&(struct tables_memory){.rules = d->rules}, &d->tables) < 0 ||
        session_files_init(&d->files, d->profile, d->tables) < 0)
        return err_nomem(err);
    d->files.once = true;
    return assembler_new(&d->files, &d->assembler, err);
}

static int open_process(struct dump *d, const struct session_dump_options *o, struct err *err) {
    if (!o->core)
        return session_process_open(&d->files, o->pid, &d->process, err);
    struct target *t;
    int rc = target_open_core(o->core, o->sysroot ? o->sysroot : "", &t, err);
    return rc < 0 ? rc : session_process_of(&d->files, t, 0, &d->process, err);
}

static labels_id state_label(struct dump *d, char state) {
    if (!state)
        return 0;
    char text[2] = {state, 0};
    struct profile_label l = {.key = profile_string(d->profile, "state"), .text = profile_string(d->profile, text)};
    return profile_labels(d->profile, &l, 1);
}

/* What is taken of a thread while the target stands still; names come after it runs again. */
struct held_thread {
    pid_t tid;
    char state;
    u64 leaf_sp;
    struct walk_stack *walk; /* allocated only as far as its frames go; NULL when the thread ended */
};

static void hold_thread(struct dump *d, struct held_thread *h) {
    struct target_registers registers;
    struct session_process *p = d->process;
    if (target_thread_registers(p->target, h->tid, &registers, NULL) < 0)
        return; /* it ended */
    struct walk_regs regs = {.tls_base = registers.tls_base};
    memcpy(regs.value, registers.value, sizeof(regs.value));
    struct target_host host = {.host = {.read = read_target}, .target = p->target};
    struct session_walk how = {.host = &host.host,
                               .regs = &regs,
                               .tid = (u32)h->tid,
                               .exact = !registers.in_syscall,
                               .partial = registers.partial,
                               .runtime = true};
    session_process_walk(p, &how, d->walk);
    size_t size = offsetof(struct walk_stack, frames) + d->walk->n_frames * sizeof(struct raw_frame);
    h->leaf_sp = regs.value[7];
    h->walk = mem_alloc(size);
    if (!h->walk) {
        d->profile->profile_failed = true;
        return;
    }
    memcpy(h->walk, d->walk, size);
    session_process_read_names(p, NULL, h->walk);
}

static void add_thread(struct dump *d, const struct held_thread *h) {
    struct session_process *p = d->process;
    struct assemble_input in = {
        .process = p,
        .snapshot = &p->now,
        .walk = h->walk,
        .leaf_sp = h->leaf_sp,
    };
    struct assembled a = assemble(d->assembler, &in);
    assembled_count(&d->files, &a);
    struct profile_sample s = {
        .stack = a.stack, .thread = session_process_thread(p, (u32)h->tid, NULL), .labels = state_label(d, h->state)};
    profile_add_sample(d->profile, &s, (int64_t[]){1});
}

struct held_threads {
    struct held_thread *all; /* those listed first are sorted by tid */
    size_t count, capacity;
};

static void held_threads_free(struct held_threads *h) {
    for (size_t i = 0; i < h->count; i++)
        free(h->all[i].walk);
    free(h->all);
}

/* Adds the target's threads that are not among the first `known`. Their states are worth reading only
 * while they run: stopping a thread changes its letter. */
static int list_threads(struct dump *d, struct held_threads *h, bool running) {
    struct target *t = d->process->target;
    _cleanup_(freep) pid_t *tids = NULL;
    size_t n = 0, known = h->count;
    int rc = target_threads(t, &tids, &n);
    if (rc == 0)
        rc = mem_grow((void **)&h->all, &h->capacity, known + n, sizeof(*h->all));
    for (size_t k = 0; rc == 0 && k < n; k++) {
        size_t at = bisect(i, known, h->all[i].tid < tids[k]);
        if (at < known && h->all[at].tid == tids[k])
            continue;
        char state = running ? target_thread_state(t, tids[k]) : 0;
        h->all[h->count++] = (struct held_thread){.tid = tids[k], .state = state};
    }
    return rc;
}

/* On a busy machine the target stands still while we wait for a CPU. Whoever has chosen a priority gets that one. */
static bool hurry(void) {
    return getpriority(PRIO_PROCESS, 0) == 0 && setpriority(PRIO_PROCESS, 0, -10) == 0;
}

/* Threads that started since they were listed are among the stopped as well. */
static int hold_stopped(struct dump *d, struct held_threads *h, struct err *err) {
    int rc = list_threads(d, h, false);
    for (size_t i = 0; rc == 0 && i < h->count; i++)
        hold_thread(d, &h->all[i]);
    return rc < 0 ? err_set(err, rc, NULL, "Cannot list the threads: %s", strerror(-rc)) : 0;
}

/* The only part during which the target stands still. */
static int hold_all(struct dump *d, struct held_threads *h, struct err *err) {
    struct target *t = d->process->target;
    uint64_t began = clock_monotonic_ns();
    bool hurries = hurry();
    int rc = target_stop(t, err);
    if (rc == 0) {
        rc = hold_stopped(d, h, err);
        target_resume(t);
    }
    if (hurries)
        setpriority(PRIO_PROCESS, 0, 0);
    d->profile->quality.probe_ns = clock_monotonic_ns() - began;
    d->profile->quality.probe_runs = 1;
    return rc;
}

/* The places in the stacks, each once. */
static uint64_t *places_in(const struct held_threads *h, size_t *ret_count) {
    uint64_t *all = NULL;
    size_t capacity = 0, n = 0, unique = 0;
    for (size_t i = 0; i < h->count; i++) {
        const struct walk_stack *w = h->all[i].walk;
        if (!w || mem_grow((void **)&all, &capacity, n + w->n_frames, sizeof(*all)) < 0)
            continue;
        for (u32 k = 0; k < w->n_frames; k++)
            if (raw_kind(&w->frames[k]) == RAW_NATIVE)
                all[n++] = raw_code(&w->frames[k]);
    }
    if (sort_by_key(all, n, sizeof(*all)) == 0)
        for (size_t i = 0; i < n; i++)
            if (unique == 0 || all[unique - 1] != all[i])
                all[unique++] = all[i];
    *ret_count = unique;
    return all;
}

static void expect_names(struct dump *d, const struct held_threads *h) {
    size_t n;
    _cleanup_(freep) uint64_t *places = places_in(h, &n);
    if (n)
        session_process_expect(d->process, places, n);
}

static int dump_threads(struct dump *d, struct err *err) {
    _cleanup_(held_threads_free) struct held_threads h = {0};
    session_process_preload(d->process);
    int rc = list_threads(d, &h, true);
    if (rc < 0)
        return err_set(err, rc, NULL, "Cannot list the threads: %s", strerror(-rc));
    rc = hold_all(d, &h, err);
    expect_names(d, &h);
    for (size_t i = 0; rc == 0 && i < h.count; i++)
        if (h.all[i].walk)
            add_thread(d, &h.all[i]);
    return rc;
}

/* Files of another machine, or of before an update. */
static void note_absent_files(struct dump *d) {
    const struct process_snapshot *s = &d->process->now;
    string_id first = 0;
    size_t count = 0;
    for (size_t i = 0; i < s->count; i++) {
        bool again = false;
        for (size_t k = 0; k < i && !again; k++)
            again = s->code[k].lost && s->code[k].absent == s->code[i].absent;
        if (again || !s->code[i].lost)
            continue;
        first = first ? first : s->code[i].absent;
        count++;
    }
    if (count)
        profile_note(d->profile,
                     "%zu of the files that ran are not here, or are others now, such as %s: their code has no names, "
                     "and stacks end there. --sysroot DIR says where the files of the core's machine are",
                     count, profile_str(d->profile, first));
}

/* A limit on its size, a full disk, a copy that was broken off. */
static void note_missing_bytes(struct dump *d) {
    uint64_t missing = target_missing_bytes(d->process->target);
    if (missing)
        profile_note(
            d->profile,
            "The core file is cut short, by %.1f MB: what lay there cannot be read, so stacks may end early and "
            "Python may not be found. Was there a limit (ulimit -c), a full disk, a copy that was broken off?",
            (double)missing / 1e6);
}

static void describe(struct dump *d, const struct session_dump_options *o) {
    char text[512];
    const char *name = profile_str(d->profile, d->process->name); // NOLINT(clang-analyzer-core.NullDereference)
    if (o->core)
        snprintf(text, sizeof(text), "%s (core file %s)", name, o->core);
    else
        snprintf(text, sizeof(text), "%s (pid %d)", name, (int)o->pid);
    d->profile->command = profile_string(d->profile, text);
    if (o->core) {
        note_missing_bytes(d);
        note_absent_files(d);
    }
    if (d->process->attach_error.code)
        profile_note(d->profile, "%s", d->process->attach_error.text);
}

/* Ctrl-Z stops every thread of ours, and the target would stand still as long as we do: it waits until we are done. The
 * threads that are made from here on have it so too. */
static sigset_t put_off_job_control(void) {
    sigset_t stops, before;
    sigemptyset(&stops);
    sigaddset(&stops, SIGTSTP);
    sigaddset(&stops, SIGTTIN);
    sigaddset(&stops, SIGTTOU);
    pthread_sigmask(SIG_BLOCK, &stops, &before);
    return before;
}

static int dump(const struct session_dump_options *o, struct profile **ret, struct err *err) {
    _cleanup_(dump_free) struct dump d = {0};
    uint64_t cpu = clock_cpu_ns();
    int rc = dump_init(&d, err);
    if (rc == 0)
        rc = open_process(&d, o, err);
    if (rc < 0)
        return rc;
    describe(&d, o);
    d.profile->start_time_ns = clock_realtime_ns();
    rc = dump_threads(&d, err);
    if (rc < 0)
        return rc;
    session_files_note(&d.files);
    d.profile->quality.self_cpu_ns = clock_cpu_ns() - cpu;
    if (d.profile->profile_failed)
        return err_nomem(err);
    *ret = TAKE_PTR(d.profile);
    return 0;
}

int session_dump(const struct session_dump_options *o, struct profile **ret, struct err *err) {
    sigset_t before = put_off_job_control();
    int rc = dump(o, ret, err);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}
