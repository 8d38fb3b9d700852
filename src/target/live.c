/* A live process: opening it, its memory, its list of mappings. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "target/internal.h"

static int refuse_ended(const struct target *t, struct err *err) {
    return err_set(err, -ESRCH, "scry ps lists the processes that can be looked at", "Process %d ended", (int)t->pid);
}

/* ---- memory ---- */

/* The memory of a process whose first thread has ended (that its state tells) is reached through one that
 * lives. */
static void choose_member(struct target *t, char state) {
    struct proc_stat st;
    pid_t *tids = NULL;
    size_t n = 0;
    t->member[0] = '\0';
    if (state != 'Z' || proc_numbers(t->proc_fd, "task", &tids, &n) < 0)
        return;
    for (size_t i = 0; i < n; i++) {
        char name[32];
        snprintf(name, sizeof(name), "task/%d/stat", (int)tids[i]);
        if (tids[i] == t->pid || proc_read_stat(t->proc_fd, name, &st) < 0 || st.state == 'Z' || st.state == 'X')
            continue;
        snprintf(t->member, sizeof(t->member), "task/%d/", (int)tids[i]);
        break;
    }
    free(tids);
}

static void member_path(const struct target *t, const char *name, char *ret, size_t size) {
    snprintf(ret, size, "%s%s", t->member, name);
}

/* The descriptor stays with the address space that it was opened on; after exec there is another. */
static int open_memory(struct target *t) {
    char path[64];
    if (t->memory_fd >= 0)
        close(TAKE_FD(t->memory_fd));
    member_path(t, "mem", path, sizeof(path));
    t->memory_fd = openat(t->proc_fd, path, O_RDONLY | O_CLOEXEC);
    return t->memory_fd < 0 ? -errno : 0;
}

/* Without /proc/PID/mem. By number: only good while the number means this process. */
static int read_by_pid(struct target *t, uint64_t address, void *dst, size_t size) {
    struct iovec local = {.iov_base = dst, .iov_len = size};
    struct iovec remote = {.iov_base = (void *)(uintptr_t)address, .iov_len = size};
    ssize_t n = process_vm_readv(t->pid, &local, 1, &remote, 1, 0);
    int rc = n == (ssize_t)size ? 0 : n < 0 ? -errno : -EFAULT;
    struct proc_stat st;
    return proc_read_stat(t->proc_fd, "stat", &st) < 0 ? -ESRCH : rc;
}

/* A read of zero bytes says that the address space is gone: the process ended, or it is another program
 * now. */
static int reopen_memory(struct target *t) {
    struct proc_stat st;
    if (proc_read_stat(t->proc_fd, "stat", &st) < 0 || (st.state == 'Z' && st.threads <= 1))
        return -ESRCH;
    choose_member(t, st.state);
    int rc = open_memory(t);
    return rc == -ENOENT ? -ESRCH : rc;
}

int live_read(struct target *t, uint64_t address, void *dst, size_t size) {
    if (t->ended)
        return -ESRCH;
    if (t->memory_fd < 0)
        return read_by_pid(t, address, dst, size);
    for (int tries = 0; tries < 2; tries++) {
        ssize_t n = pread(t->memory_fd, dst, size, (off_t)address);
        if (n == (ssize_t)size)
            return 0;
        if (n > 0 || (n < 0 && (errno == EIO || errno == EFAULT)))
            return -EFAULT;
        if (n < 0)
            return -errno;
        int rc = reopen_memory(t);
        if (rc < 0)
            return rc;
    }
    return -ESRCH;
}

/* ---- mappings ---- */

static bool same_code(const struct mapping_list *a, const struct mapping_list *b) {
    size_t i = 0, j = 0;
    for (;; i++, j++) {
        while (i < a->count && !(a->all[i].protection & PROT_EXEC))
            i++;
        while (j < b->count && !(b->all[j].protection & PROT_EXEC))
            j++;
        if (i == a->count || j == b->count)
            return i == a->count && j == b->count;
        const struct target_mapping *x = &a->all[i], *y = &b->all[j];
        if (x->start != y->start || x->end != y->end || x->offset != y->offset || x->inode != y->inode ||
            x->device != y->device)
            return false;
    }
}

static int read_mappings(struct target *t, struct mapping_list *ret) {
    _cleanup_(buf_free) struct buf b = {0};
    char path[64];
    for (int tries = 0; tries < 2; tries++) {
        member_path(t, "maps", path, sizeof(path));
        int rc = proc_read(t->proc_fd, path, &b);
        if (rc == 0 && b.len)
            return maps_parse(b.data, b.len, ret);
        if (rc < 0 && rc != -ESRCH)
            return rc;
        struct proc_stat st;
        if (proc_read_stat(t->proc_fd, "stat", &st) == 0)
            choose_member(t, st.state); /* the first thread may have ended meanwhile */
    }
    return -ESRCH;
}

/* Whether the process became another program since the last call. */
static bool executable_changed(struct target *t) {
    struct stat st;
    char path[64];
    member_path(t, "exe", path, sizeof(path));
    if (fstatat(t->proc_fd, path, &st, 0) < 0)
        return false;
    bool changed = t->exe_inode && (st.st_ino != t->exe_inode || st.st_dev != t->exe_device);
    t->exe_device = st.st_dev;
    t->exe_inode = st.st_ino;
    return changed;
}

int live_refresh(struct target *t, bool *ret_changed, struct err *err) {
    struct mapping_list list;
    int rc = t->ended ? -ESRCH : read_mappings(t, &list);
    if (rc == -EACCES || rc == -EPERM)
        return refuse_forbidden(t->pid, err);
    if (rc == -ENOMEM)
        return err_nomem(err);
    if (rc == -ESRCH)
        return refuse_ended(t, err);
    if (rc < 0)
        return err_set(err, rc, NULL, "Cannot read the mappings of process %d: %s", (int)t->pid, strerror(-rc));
    bool other_program = executable_changed(t);
    bool changed = other_program || !same_code(&t->mappings, &list);
    /* Another program has other memory, even if somebody keeps the old one alive (vfork). */
    if (changed && t->mappings.count && open_memory(t) == -EACCES) {
        maps_free(&list);
        return refuse_forbidden(t->pid, err);
    }
    if (changed)
        t->epoch++;
    if (other_program) {
        target_info_clear(&t->info);
        t->info_read = false;
    }
    maps_free(&t->mappings);
    t->mappings = list;
    *ret_changed = changed;
    return 0;
}

/* ---- opening ---- */

int target_open(pid_t pid, struct target **ret, struct err *err) {
    _cleanup_(target_closep) struct target *t = mem_zalloc(1, sizeof(*t));
    if (!t)
        return err_nomem(err);
    t->pid = pid;
    t->memory_fd = -1;
    t->epoch = 1;
    t->proc_fd = -1;
    int rc = target_check_proc(err);
    if (rc < 0)
        return rc;
    t->proc_fd = proc_open(pid);
    struct proc_stat st = {0};
    enum target_state state = t->proc_fd < 0 ? target_state_of(pid) : target_state_at(t->proc_fd, pid, &st);
    rc = refuse_state(state, t->proc_fd, pid, err);
    if (rc < 0)
        return rc;
    if (t->proc_fd < 0)
        return refuse_ended(t, err);
    choose_member(t, st.state);
    rc = open_memory(t);
    if (rc == -EACCES || rc == -EPERM)
        return refuse_forbidden(pid, err);
    if (rc == -EMFILE || rc == -ENFILE)
        return err_set(err, rc, "Allow more open files: ulimit -n 65536", "Process %d cannot be opened: %s", (int)pid,
                       strerror(-rc));
    rc = target_refresh_mappings(t, NULL, err);
    if (rc < 0)
        return rc;
    *ret = TAKE_PTR(t);
    return 0;
}
