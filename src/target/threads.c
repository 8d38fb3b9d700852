/* What a thread is called and what it does. */
#include <stdio.h>
#include <string.h>

#include "target/core.h"
#include "target/internal.h"

void target_thread_name(struct target *t, pid_t tid, char *ret, size_t size) {
    char path[32];
    if (size == 0)
        return;
    ret[0] = '\0';
    if (t->core) { /* a core tells only the name of the process, which its first thread has */
        snprintf(ret, size, "%s", tid == t->pid ? t->info.comm : "");
        return;
    }
    snprintf(path, sizeof(path), "task/%d/comm", (int)tid);
    proc_read_comm(t->proc_fd, path, ret, size);
}

pid_t target_thread_inner_id(struct target *t, pid_t tid) {
    char path[32];
    _cleanup_(buf_free) struct buf status = {0};
    const struct target_info *info = target_get_info(t);
    if (t->core || !info || info->ns_pid == t->pid) /* it is in ours */
        return tid;
    snprintf(path, sizeof(path), "task/%d/status", (int)tid);
    return proc_read(t->proc_fd, path, &status) < 0 ? tid : proc_inner_id(buf_cstr(&status), tid);
}

char target_thread_state(struct target *t, pid_t tid) {
    char path[32];
    struct proc_stat st;
    if (t->core)
        return core_thread_state(t->core, tid);
    snprintf(path, sizeof(path), "task/%d/stat", (int)tid);
    return proc_read_stat(t->proc_fd, path, &st) < 0 ? 0 : st.state;
}
