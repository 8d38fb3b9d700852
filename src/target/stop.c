/* Stopping all threads of a process by ptrace, and their registers.
 *
 * ptrace belongs to the thread that calls it, so a thread of our own does all of it: the tracer. When it
 * ends, the kernel lets go of whatever it still holds, also of threads that would not stop and of threads
 * that died meanwhile; and others may ask for registers, which are read at once and kept.
 *
 * Stops are looked at but not consumed (WNOWAIT): a signal that a thread was about to receive stays with
 * the thread, even if scry is killed now. */
#include <elf.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>

#include "base/clock.h"
#include "base/hash.h"
#include "target/internal.h"

enum {
    MAX_ROUNDS = 100, /* of looking for threads that were started meanwhile */
    YIELDS = 8,       /* looks that only give up the CPU before sleeping between looks */
    SLEEP_MIN_NS = 50000,
    SLEEP_MAX_NS = 1000000,
    STUCK_AFTER_NS = 20000000,     /* then a thread in uninterruptible sleep is left there … */
    GIVE_UP_AFTER_NS = 2000000000, /* … and then the others are given up */
    TRACER_STACK = 256 << 10,
};

enum thread_stage { SEIZED, STOPPED, STUCK, ENDED };

struct stopped_thread {
    pid_t tid;
    uint8_t stage; /* enum thread_stage */
    bool foreign;  /* runs 32-bit code */
    int signal;    /* it was about to receive this; delivered on resume */
    struct target_registers registers;
};

struct tracer {
    struct target *target;
    pthread_t thread;
    sem_t ready, release;
    int rc;
    struct err err;
    struct stopped_thread *threads;
    size_t count, capacity;
    struct u64_map by_tid; /* index into threads[] */
};

static char state_of(const struct target *t, pid_t tid) {
    char path[32];
    struct proc_stat st;
    snprintf(path, sizeof(path), "task/%d/stat", (int)tid);
    return proc_read_stat(t->proc_fd, path, &st) < 0 ? 0 : st.state;
}

/* ---- seizing ---- */

/* 0 also when the thread is gone. */
static int refuse_seize(struct tracer *tr, pid_t tid, int code) {
    char path[32], status[4096], comm[64] = "?";
    char state = state_of(tr->target, tid);
    if (code == -ESRCH || state == 0 || state == 'Z' || state == 'X')
        return 0;
    snprintf(path, sizeof(path), "task/%d/status", (int)tid);
    int other = proc_read_text(tr->target->proc_fd, path, status, sizeof(status)) < 0
                    ? 0
                    : atoi(proc_field(status, "TracerPid"));
    if (other <= 0)
        return refuse_forbidden(tr->target->pid, &tr->err);
    _cleanup_(closep) int fd = proc_open((pid_t)other);
    if (fd >= 0)
        proc_read_comm(fd, "comm", comm, sizeof(comm));
    return err_set(&tr->err, -EBUSY, "End that debugger or tracer first, or let it detach",
                   "Process %d is being traced by %s (pid %d)", (int)tr->target->pid, comm, other);
}

static int add_thread(struct tracer *tr, pid_t tid) {
    if (mem_grow((void **)&tr->threads, &tr->capacity, tr->count + 1, sizeof(*tr->threads)) < 0 ||
        u64_map_put(&tr->by_tid, (uint64_t)tid, tr->count) < 0)
        return err_nomem(&tr->err);
    tr->threads[tr->count++] = (struct stopped_thread){.tid = tid, .stage = SEIZED};
    return 0;
}

/* Seizes every thread that is not yet ours: threads[first …]. */
static int seize_new(struct tracer *tr) {
    pid_t *tids = NULL;
    size_t n = 0;
    int rc = proc_numbers(tr->target->proc_fd, "task", &tids, &n);
    if (rc == -ESRCH)
        return 0;
    if (rc < 0)
        return err_set(&tr->err, rc, NULL, "Cannot list the threads of process %d: %s", (int)tr->target->pid,
                       strerror(-rc));
    for (size_t i = 0; rc == 0 && i < n; i++) {
        if (u64_map_get(&tr->by_tid, (uint64_t)tids[i]))
            continue;
        if (ptrace(PTRACE_SEIZE, tids[i], 0, 0) == 0)
            rc = add_thread(tr, tids[i]);
        else
            rc = refuse_seize(tr, tids[i], -errno);
    }
    free(tids);
    return rc;
}

/* ---- waiting ---- */

/* Looks once whether a thread stands still. */
static void look(struct tracer *tr, struct stopped_thread *s) {
    siginfo_t info = {0};
    int how = WEXITED | WSTOPPED | WNOHANG | __WALL | __WNOTHREAD;
    if (waitid(P_PID, (id_t)s->tid, &info, how | WNOWAIT) < 0) {
        if (errno != EINTR)
            s->stage = ENDED;
        return;
    }
    if (info.si_pid == 0)
        return;
    if (info.si_code == CLD_TRAPPED || info.si_code == CLD_STOPPED) {
        s->stage = STOPPED;
        s->signal = info.si_status >> 8 == PTRACE_EVENT_STOP ? 0 : info.si_status & 0x7f;
        return;
    }
    s->stage = ENDED;
    /* Nobody else collects a dead thread that was traced. The first one is the process: that is for its
     * parent, which may be us. */
    if (s->tid != tr->target->pid)
        waitid(P_PID, (id_t)s->tid, &info, WEXITED | WNOHANG | __WALL | __WNOTHREAD);
}

static void pause_between(unsigned turn) {
    if (turn < YIELDS) {
        sched_yield();
        return;
    }
    long ns = SLEEP_MIN_NS;
    for (unsigned i = YIELDS; i < turn && ns < SLEEP_MAX_NS; i++)
        ns *= 2;
    struct timespec ts = {.tv_nsec = MIN(ns, (long)SLEEP_MAX_NS)};
    nanosleep(&ts, NULL);
}

/* Waits until every thread from `first` on stands still. */
static int wait_all(struct tracer *tr, size_t first) {
    uint64_t began = clock_monotonic_ns();
    for (unsigned turn = 0;; turn++) {
        size_t pending = 0;
        uint64_t waited = clock_monotonic_ns() - began;
        pid_t late = 0;
        for (size_t i = first; i < tr->count; i++) {
            struct stopped_thread *s = &tr->threads[i];
            if (s->stage == SEIZED)
                look(tr, s);
            if (s->stage == SEIZED && waited > STUCK_AFTER_NS && state_of(tr->target, s->tid) == 'D')
                s->stage = STUCK;
            if (s->stage == SEIZED) {
                pending++;
                late = s->tid;
            }
        }
        if (pending == 0)
            return 0;
        if (waited > GIVE_UP_AFTER_NS)
            return err_set(&tr->err, -ETIMEDOUT,
                           "Try again when the machine is less busy, or the CPU limit of its cgroup is wider",
                           "Process %d cannot be stopped: thread %d did not get to run for %d s", (int)tr->target->pid,
                           (int)late, (int)(GIVE_UP_AFTER_NS / 1000000000));
        pause_between(turn);
    }
}

static int stop_all(struct tracer *tr) {
    for (int round = 0; round < MAX_ROUNDS; round++) {
        size_t first = tr->count;
        int rc = seize_new(tr);
        /* All interrupts are out before the first look, so the threads stop side by side. */
        for (size_t i = first; i < tr->count; i++)
            ptrace(PTRACE_INTERRUPT, tr->threads[i].tid, 0, 0);
        int waited = wait_all(tr, first);
        if (rc < 0 || waited < 0)
            return rc < 0 ? rc : waited;
        if (tr->count == first)
            return 0; /* nobody was left to start another thread */
    }
    return err_set(&tr->err, -EAGAIN, "Try again", "Process %d starts threads faster than they can be stopped",
                   (int)tr->target->pid);
}

/* ---- registers ---- */

void registers_from_user(const struct user_regs_struct *r, struct target_registers *ret) {
    *ret = (struct target_registers){
        .value = {r->rax, r->rdx, r->rcx, r->rbx, r->rsi, r->rdi, r->rbp, r->rsp, r->r8, r->r9, r->r10, r->r11, r->r12,
                  r->r13, r->r14, r->r15, r->rip},
        .tls_base = r->fs_base,
        .in_syscall = (int64_t)r->orig_rax >= 0,
    };
}

/* "NUMBER ARGUMENT×6 SP PC", "-1 SP PC" outside of a system call, or "running". */
static bool read_where_stuck(const struct target *t, pid_t tid, struct target_registers *ret) {
    char path[32], text[256];
    unsigned long long sp, pc;
    long number;
    snprintf(path, sizeof(path), "task/%d/syscall", (int)tid);
    if (proc_read_text(t->proc_fd, path, text, sizeof(text)) < 0)
        return false;
    if (sscanf(text, "%ld %*x %*x %*x %*x %*x %*x %llx %llx", &number, &sp, &pc) != 3 &&
        sscanf(text, "%ld %llx %llx", &number, &sp, &pc) != 3)
        return false;
    *ret = (struct target_registers){.in_syscall = number >= 0, .partial = true};
    ret->value[7] = sp;
    ret->value[16] = pc;
    return true;
}

static void read_registers(struct tracer *tr, struct stopped_thread *s) {
    enum { CODE_32BIT = 0x23 }; /* the code segment of 32-bit code */
    struct user_regs_struct r = {0};
    struct iovec io = {.iov_base = &r, .iov_len = sizeof(r)};
    if (s->stage == STUCK) {
        if (!read_where_stuck(tr->target, s->tid, &s->registers))
            s->stage = ENDED;
        return;
    }
    if (s->stage != STOPPED)
        return;
    if (ptrace(PTRACE_GETREGSET, s->tid, (void *)NT_PRSTATUS, &io) < 0) {
        s->stage = ENDED; /* killed */
        return;
    }
    s->foreign = io.iov_len != sizeof(r) || r.cs == CODE_32BIT;
    registers_from_user(&r, &s->registers);
}

/* ---- the tracer's life ---- */

static void *run_tracer(void *argument) {
    struct tracer *tr = argument;
    tr->rc = stop_all(tr);
    size_t alive = 0;
    for (size_t i = 0; tr->rc == 0 && i < tr->count; i++) {
        read_registers(tr, &tr->threads[i]);
        alive += tr->threads[i].stage != ENDED;
    }
    if (tr->rc == 0 && alive == 0)
        tr->rc = err_set(&tr->err, -ESRCH, "scry ps lists the processes that can be looked at", "Process %d ended",
                         (int)tr->target->pid);
    bool stopped = tr->rc == 0;
    sem_post(&tr->ready);
    while (stopped && sem_wait(&tr->release) < 0 && errno == EINTR)
        ;
    for (size_t i = 0; i < tr->count; i++)
        if (tr->threads[i].stage == STOPPED)
            ptrace(PTRACE_DETACH, tr->threads[i].tid, 0, (void *)(long)tr->threads[i].signal);
    return NULL; /* the kernel detaches the rest */
}

/* Signals meant for scry are not for the tracer. */
static int start_tracer(struct tracer *tr) {
    pthread_attr_t attr;
    sigset_t all, before;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, TRACER_STACK);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&tr->thread, &attr, run_tracer, tr);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return -rc;
}

static void tracer_free(struct tracer *tr) {
    sem_destroy(&tr->ready);
    sem_destroy(&tr->release);
    u64_map_free(&tr->by_tid);
    free(tr->threads);
    free(tr);
}

int target_stop(struct target *t, struct err *err) {
    if (t->core || t->tracer)
        return 0;
    if (t->pid == getpid())
        return err_set(err, -EINVAL, "Name another process", "scry cannot stop itself");
    struct tracer *tr = mem_zalloc(1, sizeof(*tr));
    if (!tr)
        return err_nomem(err);
    tr->target = t;
    sem_init(&tr->ready, 0, 0);
    sem_init(&tr->release, 0, 0);
    int rc = start_tracer(tr);
    if (rc < 0) {
        tracer_free(tr);
        return err_set(err, rc, NULL, "Cannot start a thread: %s", strerror(-rc));
    }
    while (sem_wait(&tr->ready) < 0 && errno == EINTR)
        ;
    t->epoch++;
    if (tr->rc == 0) {
        t->tracer = tr;
        return 0;
    }
    pthread_join(tr->thread, NULL);
    rc = tr->rc;
    if (err)
        *err = tr->err;
    tracer_free(tr);
    return rc;
}

void target_resume(struct target *t) {
    if (!t->tracer)
        return;
    struct tracer *tr = TAKE_PTR(t->tracer);
    sem_post(&tr->release);
    pthread_join(tr->thread, NULL);
    tracer_free(tr);
    t->epoch++;
}

int live_registers(struct target *t, pid_t tid, struct target_registers *ret, struct err *err) {
    uint64_t *index = t->tracer ? u64_map_get(&t->tracer->by_tid, (uint64_t)tid) : NULL;
    const struct stopped_thread *s = index ? &t->tracer->threads[*index] : NULL;
    if (!s || s->stage == ENDED)
        return err_set(err, -ESRCH, NULL, t->tracer ? "Thread %d ended" : "Thread %d is not stopped", (int)tid);
    if (s->foreign)
        return err_set(err, -ENOTSUP, NULL, "Thread %d runs 32-bit code", (int)tid);
    *ret = s->registers;
    return 0;
}
