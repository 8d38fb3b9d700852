/* What kind of thing a pid is, and the sentences for what cannot be looked at. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/capability.h"
#include "target/internal.h"

enum { FLAG_KERNEL_THREAD = 0x00200000 /* PF_KTHREAD */ };

/* ---- what it is ---- */

/* ELF class of the executable: 1 = 32-bit, 2 = 64-bit, negative errno when it cannot be read. */
static int exe_class(int proc_fd) {
    unsigned char ident[5];
    _cleanup_(closep) int fd = openat(proc_fd, "exe", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return pread(fd, ident, 5, 0) == 5 ? ident[4] : -EIO;
}

pid_t thread_group_of(int proc_fd, pid_t pid) {
    char status[4096];
    int n = proc_read_text(proc_fd, "status", status, sizeof(status));
    int group = n < 0 ? 0 : atoi(proc_field(status, "Tgid"));
    return group > 0 ? (pid_t)group : pid;
}

static bool may_read(int proc_fd) {
    _cleanup_(closep) int fd = openat(proc_fd, "mem", O_RDONLY | O_CLOEXEC);
    return fd >= 0 || (errno != EACCES && errno != EPERM);
}

/* When /proc hides the processes of others, be it all of a process or what is in its directory, kill() still tells that
 * there is one. */
static bool is_there(pid_t pid) {
    return pid > 0 && (kill(pid, 0) == 0 || errno == EPERM);
}

enum target_state target_state_at(int proc_fd, pid_t pid, struct proc_stat *ret) {
    if (proc_read_stat(proc_fd, "stat", ret) < 0)
        return is_there(pid) ? TARGET_FORBIDDEN : TARGET_GONE;
    if (ret->flags & FLAG_KERNEL_THREAD)
        return TARGET_KERNEL_THREAD;
    if (thread_group_of(proc_fd, pid) != pid)
        return TARGET_THREAD;
    /* When the first thread has ended and others live on, the process looks like a zombie. */
    if ((ret->state == 'Z' && ret->threads <= 1) || ret->state == 'X')
        return TARGET_ZOMBIE;
    if (!may_read(proc_fd))
        return TARGET_FORBIDDEN;
    return exe_class(proc_fd) == 1 ? TARGET_32BIT : TARGET_USER;
}

static enum target_state state_of_unseen(pid_t pid, int rc) {
    return rc != -ESRCH || is_there(pid) ? TARGET_FORBIDDEN : TARGET_GONE;
}

enum target_state target_state_of(pid_t pid) {
    struct proc_stat st;
    _cleanup_(closep) int fd = proc_open(pid);
    return fd < 0 ? state_of_unseen(pid, fd) : target_state_at(fd, pid, &st);
}

/* ---- sentences ---- */

static const char with_sudo[] = "Run the same command with sudo, or once: " CAPABILITIES_GRANT;

static int forbidden_to_capable(const struct forbidden *f, struct err *err) {
    if (f->confined)
        return err_set(err, -EPERM, "Run scry on the host as root, or inside the container that the process runs in",
                       "Process %d (%s) lives in a user namespace that scry's privileges do not reach", (int)f->pid,
                       f->comm);
    return err_set(err, -EPERM, "Look for a denial in the audit log (journalctl -k, dmesg), and allow it there",
                   "Process %d (%s) may not be read: a security module (SELinux, AppArmor, lockdown) forbids it",
                   (int)f->pid, f->comm);
}

static int forbidden_by_yama(const struct forbidden *f, struct err *err) {
    if (f->yama >= 3)
        return err_set(err, -EPERM, "Only a reboot with another kernel.yama.ptrace_scope changes that",
                       "Process %d (%s) may not be read: yama's ptrace_scope is 3, which forbids it to everybody",
                       (int)f->pid, f->comm);
    if (f->yama == 2)
        return err_set(err, -EPERM, with_sudo,
                       "Process %d (%s) may not be read: yama's ptrace_scope is 2, which asks for CAP_SYS_PTRACE",
                       (int)f->pid, f->comm);
    return err_set(err, -EPERM,
                   "Run the same command with sudo, or allow it to all: sudo sysctl kernel.yama.ptrace_scope=0",
                   "Process %d (%s) may not be read: yama's ptrace_scope is 1, which allows only a program's parents",
                   (int)f->pid, f->comm);
}

int forbidden_sentence(const struct forbidden *f, struct err *err) {
    if (f->yama >= 3)
        return forbidden_by_yama(f, err);
    if (f->hidden)
        return err_set(err, -EPERM, f->root ? "Run scry on the host as root" : "Run the same command with sudo",
                       "Process %d exists, but /proc hides the processes of other users here (hidepid)", (int)f->pid);
    if (f->capable && !f->same_user && !f->searches)
        return err_set(err, -EPERM, with_sudo, "Process %d (%s) belongs to %s, and %s lacks CAP_DAC_READ_SEARCH",
                       (int)f->pid, f->comm, f->owner, f->self);
    if (f->capable)
        return forbidden_to_capable(f, err);
    if (f->root)
        return err_set(err, -EPERM, "Start the container with --cap-add=SYS_PTRACE, or run scry on the host",
                       "Process %d (%s) may not be read: scry is root, but CAP_SYS_PTRACE was taken from it",
                       (int)f->pid, f->comm);
    if (!f->same_user)
        return err_set(err, -EPERM, with_sudo, "Process %d (%s) belongs to %s, and %s lacks CAP_SYS_PTRACE",
                       (int)f->pid, f->comm, f->owner, f->self);
    if (f->yama)
        return forbidden_by_yama(f, err);
    return err_set(
        err, -EPERM, with_sudo,
        "Process %d (%s) has more privileges than %s or made itself unreadable, and CAP_SYS_PTRACE is missing",
        (int)f->pid, f->comm, f->self);
}

static const char *user_name(uid_t uid, char *ret, size_t size) {
    const struct passwd *pw = getpwuid(uid); // NOLINT(concurrency-mt-unsafe)
    if (pw)
        snprintf(ret, size, "%s", pw->pw_name);
    else
        snprintf(ret, size, "user %u", (unsigned)uid);
    return ret;
}

int refuse_forbidden(pid_t pid, struct err *err) {
    char status[4096] = "", comm[64] = "?", owner[64], self[64], scope[16];
    _cleanup_(closep) int fd = proc_open(pid);
    struct forbidden f = {.pid = pid, .hidden = fd < 0, .comm = comm, .root = geteuid() == 0};
    uid_t uid = (uid_t)-1;
    if (fd >= 0 && proc_read_text(fd, "status", status, sizeof(status)) > 0)
        uid = (uid_t)strtoul(proc_field(status, "Uid"), NULL, 10);
    else
        f.hidden = true;
    if (fd >= 0)
        proc_read_comm(fd, "comm", comm, sizeof(comm));
    f.same_user = uid == geteuid();
    f.owner = user_name(uid, owner, sizeof(owner));
    f.self = user_name(geteuid(), self, sizeof(self));
    f.capable = capability_has(CAP_SYS_PTRACE);
    f.searches = capability_has(CAP_DAC_READ_SEARCH) || capability_has(CAP_DAC_OVERRIDE);
    f.confined = capability_confined();
    if (proc_read_text(AT_FDCWD, "/proc/sys/kernel/yama/ptrace_scope", scope, sizeof(scope)) > 0)
        f.yama = atoi(scope);
    return forbidden_sentence(&f, err);
}

static int refuse_thread(int proc_fd, pid_t pid, struct err *err) {
    pid_t group = thread_group_of(proc_fd, pid);
    char comm[64] = "?", advice[64];
    _cleanup_(closep) int fd = proc_open(group);
    if (fd >= 0)
        proc_read_comm(fd, "comm", comm, sizeof(comm));
    snprintf(advice, sizeof(advice), "Name the process: -p %d", (int)group);
    return err_set(err, -EINVAL, advice, "%d is a thread of process %d (%s)", (int)pid, (int)group, comm);
}

int refuse_state(enum target_state state, int proc_fd, pid_t pid, struct err *err) {
    switch (state) {
    case TARGET_GONE:
        return err_set(err, -ESRCH, "scry ps lists the processes that can be looked at", "There is no process %d",
                       (int)pid);
    case TARGET_ZOMBIE:
        return err_set(err, -ESRCH, "Nothing of it is left to look at; its parent has yet to collect it",
                       "Process %d is a zombie: it has already ended", (int)pid);
    case TARGET_KERNEL_THREAD:
        return err_set(err, -EINVAL, "scry cpu -a samples the whole host, kernel threads too",
                       "Process %d is a kernel thread: it has no user code", (int)pid);
    case TARGET_THREAD:
        return refuse_thread(proc_fd, pid, err);
    case TARGET_32BIT:
        return err_set(err, -ENOTSUP, "Use perf for 32-bit programs",
                       "Process %d is a 32-bit program, which scry cannot read", (int)pid);
    case TARGET_FORBIDDEN:
        return refuse_forbidden(pid, err);
    case TARGET_USER:
        break;
    }
    return 0;
}
