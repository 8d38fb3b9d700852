#include "session/departed.h"

#include <poll.h>
#include <sys/syscall.h>

static void clear(struct departed_process *e) {
    u64_map_free(&e->threads);
    if (e->pid && e->end_fd >= 0)
        close(e->end_fd);
    *e = (struct departed_process){0};
}

void departed_free(struct departed *d) {
    for (unsigned i = 0; i < DEPARTED_MOST; i++)
        clear(&d->all[i]);
}

static struct departed_process *find(struct departed *d, u32 pid) {
    for (unsigned i = 0; i < DEPARTED_MOST; i++)
        if (d->all[i].pid == pid)
            return &d->all[i];
    return NULL;
}

void departed_forget(struct departed *d, u32 pid) {
    struct departed_process *e = find(d, pid);
    if (e)
        clear(e);
}

void departed_add(struct departed *d, const struct profile_thread *as, struct u64_map *threads, bool wait) {
    departed_forget(d, as->pid);
    struct departed_process *e = &d->all[d->next++ % DEPARTED_MOST];
    clear(e);
    *e = (struct departed_process){.pid = as->pid, .as = *as};
    if (threads) {
        e->threads = *threads;
        *threads = (struct u64_map){0};
    }
    e->end_fd = wait ? (int)syscall(SYS_pidfd_open, as->pid, 0) : -1;
}

thread_id departed_thread(struct departed *d, struct profile *profile, u32 pid, u32 tid, const char *comm) {
    struct departed_process *e = pid ? find(d, pid) : NULL;
    if (!e)
        return 0;
    const uint64_t *known = u64_map_get(&e->threads, tid);
    if (known)
        return (thread_id)*known;
    struct profile_thread t = e->as;
    t.tid = tid;
    t.thread_name = profile_string(profile, comm);
    return profile_thread(profile, &t);
}

bool departed_wait(struct departed *d) {
    bool wait = false;
    for (unsigned i = 0; i < DEPARTED_MOST; i++) {
        struct departed_process *e = &d->all[i];
        if (!e->pid || e->end_fd < 0)
            continue;
        struct pollfd p = {.fd = e->end_fd, .events = POLLIN};
        if (poll(&p, 1, 0) == 0)
            wait = true;
        else
            close(TAKE_FD(e->end_fd));
    }
    return wait;
}
