/* Reading /proc/PID through an open descriptor of it, which never comes to mean another process. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/file.h"
#include "target/internal.h"

enum { MAX_PROC_FILE = 256 << 20, MAX_NUMBERS = 8 << 20 };

/* A process that ended under our hands shows itself as a missing file. */
static int gone(int code) {
    return code == -ENOENT ? -ESRCH : code;
}

int target_check_proc(struct err *err) {
    char self[32] = "";
    struct statfs fs;
    if (statfs("/proc", &fs) < 0 || fs.f_type != PROC_SUPER_MAGIC)
        return err_set(err, -ENOTSUP, "Mount it: mount -t proc proc /proc; in a container, do not mask it",
                       "/proc is not mounted here, and processes are looked at there");
    if (readlink("/proc/self", self, sizeof(self) - 1) < 0 || atoi(self) != (int)getpid())
        return err_set(err, -ENOTSUP,
                       "Mount its own one: mount -t proc proc /proc (unshare --mount-proc), or run scry outside of it",
                       "/proc is that of another PID namespace: numbers mean other processes there than here");
    return 0;
}

int proc_open(pid_t pid) {
    char path[32];
    snprintf(path, sizeof(path), "/proc/%d", (int)pid);
    int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? gone(-errno) : fd;
}

int proc_read(int proc_fd, const char *name, struct buf *ret) {
    _cleanup_(closep) int fd = openat(proc_fd, name, O_RDONLY | O_CLOEXEC);
    return gone(fd < 0 ? -errno : file_read_fd(fd, name, MAX_PROC_FILE, ret, NULL));
}

int proc_read_text(int proc_fd, const char *name, char *ret, size_t size) {
    _cleanup_(closep) int fd = openat(proc_fd, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return gone(-errno);
    size_t done = 0;
    while (done < size - 1) {
        ssize_t n = read(fd, ret + done, size - 1 - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return gone(-errno);
        if (n == 0)
            break;
        done += (size_t)n;
    }
    ret[done] = '\0';
    return (int)done;
}

static int by_number(const void *a, const void *b) {
    pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;
    return x < y ? -1 : x > y;
}

static int collect_numbers(DIR *dir, pid_t **list, size_t *n) {
    size_t cap = 0;
    for (struct dirent *e; (e = readdir(dir));) {
        char *end;
        long v = strtol(e->d_name, &end, 10);
        if (v <= 0 || v > INT32_MAX || *end || *n >= MAX_NUMBERS)
            continue;
        if (mem_grow((void **)list, &cap, *n + 1, sizeof(**list)) < 0)
            return -ENOMEM;
        (*list)[(*n)++] = (pid_t)v;
    }
    return 0;
}

int proc_numbers(int dir_fd, const char *name, pid_t **ret, size_t *ret_count) {
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        int rc = gone(-errno);
        if (fd >= 0)
            close(fd);
        return rc;
    }
    pid_t *list = NULL;
    size_t n = 0;
    int rc = collect_numbers(dir, &list, &n);
    closedir(dir);
    if (rc < 0) {
        free(list);
        return rc;
    }
    if (n)
        qsort(list, n, sizeof(*list), by_number);
    *ret = list;
    *ret_count = n;
    return 0;
}

const char *proc_field(const char *status, const char *name) {
    size_t n = strlen(name);
    for (const char *line = status; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, n) == 0 && line[n] == ':')
            return line + n + 1 + strspn(line + n + 1, " \t");
    }
    return "";
}

void proc_read_comm(int proc_fd, const char *name, char *ret, size_t size) {
    char text[64];
    int n = proc_read_text(proc_fd, name, text, sizeof(text));
    if (n <= 0)
        return;
    size_t length = strlen(text); /* a name may hold newlines; the last one is the kernel's */
    if (length && text[length - 1] == '\n')
        text[--length] = '\0';
    make_printable(text, length);
    snprintf(ret, size, "%s", text);
}

int proc_read_stat(int proc_fd, const char *name, struct proc_stat *ret) {
    char text[1024];
    int rc = proc_read_text(proc_fd, name, text, sizeof(text));
    if (rc < 0)
        return rc;
    /* The name may hold anything, also ')': the last one ends it. */
    const char *p = strrchr(text, ')');
    unsigned long long flags;
    unsigned threads;
    int parent;
    char state;
    if (!p || sscanf(p + 1, " %c %d %*d %*d %*d %*d %llu %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %u", &state, &parent,
                     &flags, &threads) != 4)
        return -EBADMSG;
    *ret = (struct proc_stat){.state = state, .threads = threads, .parent = parent, .flags = flags};
    return 0;
}
