/* Who a process is: names, owner, container; its threads; the list of all processes. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "target/internal.h"

void target_info_clear(struct target_info *info) {
    free(info->command_line);
    *info = (struct target_info){0};
}

static const char *status_field(const char *status, const char *name) {
    const char *p = strstr(status, name);
    return p ? p + strlen(name) : "";
}

static char *read_command_line(pid_t pid) {
    _cleanup_(buf_free) struct buf b = {0};
    if (proc_read(pid, "cmdline", &b) < 0 || b.len == 0)
        return mem_strdup("");
    for (size_t i = 0; i + 1 < b.len; i++)
        if (b.data[i] == '\0')
            b.data[i] = ' ';
    for (size_t i = 0; i < b.len; i++)
        if ((unsigned char)b.data[i] < ' ' && b.data[i])
            b.data[i] = '?'; /* a terminal must not obey it */
    return mem_strdup(buf_cstr(&b));
}

/* Container runtimes name their cgroups by 64 hexadecimal digits. */
static void find_container(const char *cgroup, char *ret, size_t size) {
    ret[0] = '\0';
    for (const char *p = cgroup; *p; p++) {
        size_t n = strspn(p, "0123456789abcdef");
        if (n == 64) {
            snprintf(ret, size, "%.12s", p);
            return;
        }
        p += n ? n - 1 : 0;
    }
}

static void read_cgroup(pid_t pid, struct target_info *info) {
    _cleanup_(buf_free) struct buf b = {0};
    if (proc_read(pid, "cgroup", &b) < 0)
        return;
    const char *text = buf_cstr(&b);
    find_container(text, info->container, sizeof(info->container));
    const char *unified = strstr(text, "0::");
    if (unified && (unified == text || unified[-1] == '\n')) {
        snprintf(info->cgroup, sizeof(info->cgroup), "%s", unified + 3);
        info->cgroup[strcspn(info->cgroup, "\n")] = '\0';
    }
}

int target_read_info(pid_t pid, struct target_info *ret) {
    _cleanup_(buf_free) struct buf b = {0};
    *ret = (struct target_info){.pid = pid, .ns_pid = pid};
    int rc = proc_read(pid, "status", &b);
    if (rc < 0)
        return rc;
    const char *status = buf_cstr(&b);
    ret->parent = (pid_t)atoi(status_field(status, "\nPPid:"));
    ret->uid = (uid_t)strtoul(status_field(status, "\nUid:"), NULL, 10);
    const char *ns = status_field(status, "\nNSpid:");
    for (char *end; *ns && *ns != '\n'; ns = end) {
        long v = strtol(ns, &end, 10);
        if (end == ns)
            break;
        ret->ns_pid = (pid_t)v;
        if (*end == '\n')
            break;
    }
    target_thread_name(&(struct target){.pid = pid, .pidfd = -1}, pid, ret->comm, sizeof(ret->comm));
    ret->command_line = read_command_line(pid);
    read_cgroup(pid, ret);
    return ret->command_line ? 0 : -ENOMEM;
}

const struct target_info *target_get_info(struct target *t) {
    if (!t->info_read && !t->core && target_read_info(t->pid, &t->info) < 0)
        t->info.pid = t->pid;
    t->info_read = true;
    return &t->info;
}

/* ---- threads ---- */

static int by_number(const void *a, const void *b) {
    pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;
    return x < y ? -1 : x > y;
}

/* The numeric names of a directory, sorted. */
static int numeric_entries(const char *path, pid_t **ret, size_t *ret_count) {
    DIR *d = opendir(path);
    if (!d)
        return errno == ENOENT ? -ESRCH : -errno;
    pid_t *list = NULL;
    size_t n = 0, cap = 0;
    int rc = 0;
    for (struct dirent *e; rc == 0 && (e = readdir(d));) {
        if (!isdigit((unsigned char)e->d_name[0]))
            continue;
        rc = mem_grow((void **)&list, &cap, n + 1, sizeof(*list));
        if (rc == 0)
            list[n++] = (pid_t)atoi(e->d_name);
    }
    closedir(d);
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

int target_threads(struct target *t, pid_t **ret, size_t *ret_count) {
    if (t->core)
        return core_threads(t, ret, ret_count);
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/task", (int)t->pid);
    return numeric_entries(path, ret, ret_count);
}

int target_list(pid_t **ret, size_t *ret_count) {
    return numeric_entries("/proc", ret, ret_count);
}

void target_thread_name(struct target *t, pid_t tid, char *ret, size_t size) {
    ret[0] = '\0';
    if (t->core) {
        snprintf(ret, size, "%s", t->info.comm);
        return;
    }
    char name[64];
    _cleanup_(buf_free) struct buf b = {0};
    snprintf(name, sizeof(name), "task/%d/comm", (int)tid);
    if (proc_read(t->pid, name, &b) < 0)
        return;
    snprintf(ret, size, "%s", buf_cstr(&b));
    ret[strcspn(ret, "\n")] = '\0';
}

char target_thread_state(struct target *t, pid_t tid) {
    char name[64];
    _cleanup_(buf_free) struct buf b = {0};
    snprintf(name, sizeof(name), "task/%d/stat", (int)tid);
    if (t->core || proc_read(t->pid, name, &b) < 0)
        return 0;
    const char *p = strrchr(buf_cstr(&b), ')');
    return p && p[1] == ' ' ? p[2] : 0;
}
