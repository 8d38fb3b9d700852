/* Who a process is: names, owner, container; the list of all processes. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "target/internal.h"

enum { MAX_COMMAND_LINE = 32768 };

void target_info_clear(struct target_info *info) {
    free(info->command_line);
    *info = (struct target_info){0};
}

void make_printable(char *text, size_t size) {
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
            text[i] = '?';
}

/* ---- container ---- */

static bool is_hex(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

/* Docker, containerd, CRI-O and podman name the cgroup, or its end, by 64 hexadecimal digits; Fargate by
 * 32, a dash and a number. Returns where they start in [p, p + n), or NULL. */
static const char *find_hex_id(const char *p, size_t n) {
    for (size_t i = 0; i + 64 <= n; i++) {
        size_t run = 0;
        while (i + run < n && is_hex(p[i + run]))
            run++;
        if (run == 64)
            return p + i;
        i += run;
    }
    size_t run = 0;
    while (run < n && is_hex(p[run]))
        run++;
    return run == 32 && n > 33 && p[32] == '-' && strspn(p + 33, "0123456789") == n - 33 ? p : NULL;
}

static bool starts_with(const char *p, size_t n, const char *prefix) {
    return n >= strlen(prefix) && memcmp(p, prefix, strlen(prefix)) == 0;
}

/* systemd writes "-" inside a unit's name as "\x2d". */
static void copy_unit_name(const char *p, size_t n, char *ret, size_t size) {
    size_t k = 0;
    for (size_t i = 0; i < n && k + 1 < size; i++) {
        if (n - i >= 4 && memcmp(p + i, "\\x2d", 4) == 0) {
            ret[k++] = '-';
            i += 3;
        } else {
            ret[k++] = p[i];
        }
    }
    ret[k] = '\0';
}

/* One component of a cgroup's path. Monitors ("conmon") stand beside a container, not inside it. */
static bool container_of_component(const char *p, size_t n, bool inside_lxc, char *ret, size_t size) {
    static const char machine[] = "machine-", payload[] = "lxc.payload.";
    if (memmem(p, n, "conmon", 6))
        return false;
    const char *id = find_hex_id(p, n);
    if (id) {
        snprintf(ret, size, "%.12s", id);
        return true;
    }
    size_t scope = n > 6 && memcmp(p + n - 6, ".scope", 6) == 0 ? n - 6 : n;
    if (starts_with(p, scope, machine) && scope != n)
        copy_unit_name(p + strlen(machine), scope - strlen(machine), ret, size);
    else if (starts_with(p, n, payload))
        copy_unit_name(p + strlen(payload), n - strlen(payload), ret, size);
    else if (inside_lxc)
        copy_unit_name(p, n, ret, size);
    return ret[0] != '\0';
}

void container_of_cgroup(const char *cgroup, char *ret, size_t size) {
    ret[0] = '\0';
    for (const char *line = cgroup; *line;) {
        size_t length = strcspn(line, "\n");
        const char *stop = line + length, *p = memchr(line, '/', length);
        bool inside_lxc = false;
        while (p && p < stop) {
            p++;
            size_t n = strcspn(p, "/\n");
            if (n && container_of_component(p, n, inside_lxc, ret, size)) {
                make_printable(ret, strlen(ret));
                return;
            }
            inside_lxc = n == 3 && memcmp(p, "lxc", 3) == 0;
            p += n;
        }
        line = *stop ? stop + 1 : stop;
    }
}

/* ---- all of it ---- */

static void read_cgroup(int proc_fd, struct target_info *info) {
    _cleanup_(buf_free) struct buf b = {0};
    if (proc_read(proc_fd, "cgroup", &b) < 0)
        return;
    const char *text = buf_cstr(&b);
    container_of_cgroup(text, info->container, sizeof(info->container));
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, "0::", 3) == 0)
            snprintf(info->cgroup, sizeof(info->cgroup), "%.*s", (int)strcspn(line + 3, "\n"), line + 3);
    }
    make_printable(info->cgroup, strlen(info->cgroup));
}

static char *read_command_line(int proc_fd) {
    _cleanup_(freep) char *text = mem_alloc(MAX_COMMAND_LINE);
    int n = text ? proc_read_text(proc_fd, "cmdline", text, MAX_COMMAND_LINE) : -ENOMEM;
    if (n <= 0)
        return mem_strdup("");
    while (n > 0 && text[n - 1] == '\0')
        n--;
    for (int i = 0; i < n; i++)
        if (text[i] == '\0')
            text[i] = ' ';
    make_printable(text, (size_t)n);
    return mem_strndup(text, (size_t)n);
}

pid_t proc_inner_id(const char *status, pid_t id) {
    char *end;
    for (const char *p = proc_field(status, "NSpid"); *p && *p != '\n'; p = end + strspn(end, " \t")) {
        long v = strtol(p, &end, 10);
        if (end == p)
            break;
        id = (pid_t)v;
    }
    return id;
}

int read_info(int proc_fd, pid_t pid, struct target_info *ret) {
    _cleanup_(buf_free) struct buf b = {0};
    int rc = proc_read(proc_fd, "status", &b);
    if (rc < 0)
        return rc;
    const char *status = buf_cstr(&b);
    *ret = (struct target_info){.pid = pid};
    ret->parent = (pid_t)atoi(proc_field(status, "PPid"));
    char *end;
    strtoul(proc_field(status, "Uid"), &end, 10); /* the real one; the effective one follows */
    ret->uid = (uid_t)strtoul(end, NULL, 10);
    ret->ns_pid = proc_inner_id(status, pid);
    proc_read_comm(proc_fd, "comm", ret->comm, sizeof(ret->comm));
    ret->command_line = read_command_line(proc_fd);
    read_cgroup(proc_fd, ret);
    return ret->command_line ? 0 : -ENOMEM;
}

int target_read_info(pid_t pid, struct target_info *ret) {
    _cleanup_(closep) int fd = proc_open(pid);
    return fd < 0 ? fd : read_info(fd, pid, ret);
}

int target_list(pid_t **ret, size_t *ret_count) {
    return proc_numbers(AT_FDCWD, "/proc", ret, ret_count);
}

static pid_t parent_of(pid_t pid) {
    _cleanup_(closep) int fd = proc_open(pid);
    struct proc_stat st;
    return fd >= 0 && proc_read_stat(fd, "stat", &st) == 0 ? st.parent : -1;
}

/* Appends those of `pids` whose parent is `of`. */
static size_t add_children(pid_t of, const pid_t *pids, const pid_t *parents, size_t n, pid_t *to, size_t count) {
    for (size_t i = 0; i < n; i++)
        if (parents[i] == of && count < n)
            to[count++] = pids[i];
    return count;
}

int target_descendants(pid_t pid, pid_t **ret, size_t *ret_count) {
    _cleanup_(freep) pid_t *pids = NULL, *parents = NULL;
    size_t n = 0, count = 0;
    int rc = target_list(&pids, &n);
    if (rc < 0)
        return rc;
    parents = mem_alloc((n + 1) * sizeof(*parents));
    pid_t *found = mem_alloc((n + 1) * sizeof(*found));
    if (!parents || !found) {
        free(found);
        return -ENOMEM;
    }
    for (size_t i = 0; i < n; i++)
        parents[i] = parent_of(pids[i]);
    count = add_children(pid, pids, parents, n, found, 0);
    for (size_t i = 0; i < count; i++)
        count = add_children(found[i], pids, parents, n, found, count);
    *ret = found;
    *ret_count = count;
    return 0;
}
