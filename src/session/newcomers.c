#include "session/newcomers.h"

enum { MOMENT_NS = 50000000, SECOND_NS = 1000000000, MOST_A_SECOND = 100 };

static struct newcomer *find(const struct newcomers *n, uint32_t pid) {
    for (size_t i = n->count; i-- > 0;)
        if (n->all[i].pid == pid)
            return &n->all[i];
    return NULL;
}

bool newcomers_has(const struct newcomers *n, uint32_t pid) {
    return find(n, pid) != NULL;
}

int newcomers_add(struct newcomers *n, uint32_t pid, uint64_t now_ns) {
    struct newcomer *known = find(n, pid);
    uint64_t due_ns = now_ns + MOMENT_NS;
    if (known) {
        known->due_ns = due_ns;
        return 0;
    }
    int rc = mem_grow((void **)&n->all, &n->capacity, n->count + 1, sizeof(*n->all));
    if (rc < 0)
        return rc;
    n->next_ns = n->count ? MIN(n->next_ns, due_ns) : due_ns;
    n->all[n->count++] = (struct newcomer){.pid = pid, .due_ns = due_ns};
    return 0;
}

static void take_out(struct newcomers *n, struct newcomer *one) {
    *one = n->all[--n->count];
}

bool newcomers_remove(struct newcomers *n, uint32_t pid) {
    struct newcomer *one = find(n, pid);
    if (one)
        take_out(n, one);
    return one != NULL;
}

void newcomers_free(struct newcomers *n) {
    free(n->all);
    *n = (struct newcomers){0};
}

static struct newcomer *first(struct newcomers *n) {
    struct newcomer *one = NULL;
    for (size_t i = 0; i < n->count; i++)
        if (!one || n->all[i].due_ns < one->due_ns)
            one = &n->all[i];
    return one;
}

static bool too_many(struct newcomers *n, uint64_t now_ns) {
    if (now_ns - n->second_ns >= SECOND_NS) {
        n->second_ns = now_ns;
        n->this_second = 0;
    }
    return n->this_second++ >= MOST_A_SECOND;
}

uint32_t newcomers_due(struct newcomers *n, uint64_t now_ns, bool *ret_postponed) {
    *ret_postponed = false;
    if (n->count == 0 || now_ns < n->next_ns)
        return 0;
    struct newcomer *one = first(n);
    n->next_ns = one->due_ns;
    if (now_ns < one->due_ns)
        return 0;
    uint32_t pid = one->pid;
    *ret_postponed = too_many(n, now_ns);
    if (*ret_postponed)
        one->due_ns = now_ns + SECOND_NS;
    else
        take_out(n, one);
    return pid;
}
