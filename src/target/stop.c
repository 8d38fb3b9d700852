/* Stopping all threads of a process by ptrace, and their registers. If scry dies, the kernel detaches
 * and the threads run on. */
#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>

#include "base/mem.h"
#include "target/internal.h"

static bool is_stopped_by_us(const struct target *t, pid_t tid) {
    for (size_t i = 0; i < t->n_stopped; i++)
        if (t->stopped[i].tid == tid)
            return true;
    return false;
}

/* Waits until a seized thread stands still. A signal that arrives first stays with the thread: it is
 * delivered when we detach. 0, or -ESRCH when the thread ended. */
static int wait_for_stop(pid_t tid, int *ret_signal) {
    int status;
    *ret_signal = 0;
    for (;;) {
        pid_t got = waitpid(tid, &status, __WALL);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 || !WIFSTOPPED(status))
            return -ESRCH;
        if (status >> 16 != PTRACE_EVENT_STOP)
            *ret_signal = WSTOPSIG(status);
        return 0;
    }
}

static int seize(pid_t tid) {
    if (ptrace(PTRACE_SEIZE, tid, 0, 0) < 0)
        return -errno;
    if (ptrace(PTRACE_INTERRUPT, tid, 0, 0) < 0) {
        int rc = -errno;
        ptrace(PTRACE_DETACH, tid, 0, 0);
        return rc;
    }
    return 0;
}

/* Seizes every thread that is not yet ours; *ret_new says how many were. */
static int seize_all(struct target *t, size_t *ret_new) {
    pid_t *tids = NULL;
    size_t n = 0, first = t->n_stopped;
    int rc = target_threads(t, &tids, &n);
    if (rc == 0)
        rc = mem_grow((void **)&t->stopped, &t->cap_stopped, first + n, sizeof(*t->stopped));
    bool forbidden = false;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        if (is_stopped_by_us(t, tids[i]))
            continue;
        int one = seize(tids[i]);
        if (one == 0)
            t->stopped[t->n_stopped++] = (struct stopped_thread){.tid = tids[i]};
        else if (one == -EPERM)
            forbidden = true;
    }
    free(tids);
    /* All interrupts are out before the first wait, so the threads stop side by side. */
    size_t kept = first;
    for (size_t i = first; i < t->n_stopped; i++) {
        struct stopped_thread s = t->stopped[i];
        if (wait_for_stop(s.tid, &s.signal) == 0)
            t->stopped[kept++] = s;
    }
    t->n_stopped = kept;
    *ret_new = kept - first;
    if (rc < 0)
        return rc;
    return forbidden && kept == 0 ? -EPERM : 0;
}

int target_stop(struct target *t, struct err *err) {
    if (t->core)
        return 0;
    if (!t->cache) {
        t->cache = mem_zalloc(CACHED_PAGES, sizeof(*t->cache));
        if (!t->cache)
            return err_nomem(err);
    }
    /* Threads may start threads while they are being stopped: look again until there is nothing new. */
    for (int round = 0; round < 32; round++) {
        size_t fresh;
        int rc = seize_all(t, &fresh);
        if (rc < 0) {
            target_resume(t);
            return err_set(err, rc, rc == -EPERM ? "Is another debugger attached? See TracerPid in /proc/PID/status" : NULL,
                           "Process %d cannot be stopped: %s", (int)t->pid, strerror(-rc));
        }
        if (fresh == 0)
            break;
    }
    return t->n_stopped ? 0 : err_set(err, -ESRCH, NULL, "Process %d ended", (int)t->pid);
}

void target_resume(struct target *t) {
    for (size_t i = 0; i < t->n_stopped; i++)
        ptrace(PTRACE_DETACH, t->stopped[i].tid, 0, (void *)(long)t->stopped[i].signal);
    t->n_stopped = 0;
    for (size_t i = 0; t->cache && i < CACHED_PAGES; i++)
        t->cache[i].valid = false;
}

int target_thread_registers(struct target *t, pid_t tid, struct target_registers *ret, struct err *err) {
    if (t->core)
        return core_registers(t, tid, ret);
    struct user_regs_struct r;
    struct iovec io = {.iov_base = &r, .iov_len = sizeof(r)};
    if (!is_stopped_by_us(t, tid) || ptrace(PTRACE_GETREGSET, tid, (void *)NT_PRSTATUS, &io) < 0)
        return err_set(err, -ESRCH, NULL, "Thread %d ended", (int)tid);
    target_registers_from_user(&r, ret);
    return 0;
}

void target_registers_from_user(const struct user_regs_struct *r, struct target_registers *ret) {
    *ret = (struct target_registers){
        .value = {r->rax, r->rdx, r->rcx, r->rbx, r->rsi, r->rdi, r->rbp, r->rsp, r->r8, r->r9, r->r10, r->r11,
                  r->r12, r->r13, r->r14, r->r15, r->rip},
        .tls_base = r->fs_base,
        .in_syscall = (int64_t)r->orig_rax >= 0,
    };
}
