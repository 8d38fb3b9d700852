#include "session/process_table.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"

enum {
    RETRY_NS = 100000000,    /* a process that could not be opened is tried again after this long */
    REFRESH_NS = 2000000000, /* mappings of an active process are looked at again this often */
    GENERATIONS = 16,        /* ancestors that are asked for what a process no longer tells */
    ASK_AT_ONCE = 64,        /* processes that are asked whether they are there */
    SILENT_NS = 1000000000,  /* a sample of a process may wait for so long until it is looked at, and not much longer */
};

/* In `forked_by`. */
static const uint64_t EXECED = 1ull << 32;
/* In `refused`: it runs, and may not be read, or is of a kind that cannot be. */
static const uint64_t FORBIDDEN = 1ull << 63, FOREIGN = 1ull << 62;

static uint64_t refusal_of(int code) {
    return code == -EPERM ? FORBIDDEN : code == -ENOTSUP ? FOREIGN : 0;
}

static void out_of_memory(struct process_table *t) {
    t->files->profile->profile_failed = true;
}

void process_table_free(struct process_table *t) {
    for (size_t i = 0; i < t->count; i++)
        session_process_close(t->all[i]);
    free(t->all);
    u64_map_free(&t->by_pid);
    u64_map_free(&t->refused);
    u64_map_free(&t->forked_by);
    mapped_log_free(&t->mapped);
    departed_free(&t->departed);
    newcomers_free(&t->newcomers);
    *t = (struct process_table){0};
}

struct session_process *process_table_find(const struct process_table *t, u32 pid) {
    uint64_t *i = u64_map_get(&t->by_pid, pid);
    return i ? t->all[*i] : NULL;
}

void process_table_publish(struct process_table *t, struct session_process *p) {
    cpu_source_set_process(t->source, (u32)p->pid, &p->table);
    cpu_source_clear_misses(t->source, (u32)p->pid);
    if (!p->now.published_ns) /* else only tables were loaded since: walks have gone by these mappings */
        p->now.published_ns = clock_monotonic_ns();
}

bool process_table_depends(const struct process_table *t, u32 pid, u32 on) {
    for (unsigned generation = 0; pid != on && generation < GENERATIONS; generation++) {
        uint64_t *parent = u64_map_get(&t->forked_by, pid);
        if (!parent)
            return false;
        pid = (u32)*parent;
    }
    return pid == on;
}

/* ---- opening ---- */

static bool full(struct process_table *t) {
    if (t->count < PROCESS_TABLE_MAX)
        return false;
    profile_note(t->files->profile, "More than %d processes were seen; the rest has no names", PROCESS_TABLE_MAX);
    return true;
}

/* Takes over `p`. NULL when memory is out. */
static struct session_process *add(struct process_table *t, struct session_process *p) {
    if (mem_grow((void **)&t->all, &t->capacity, t->count + 1, sizeof(struct session_process *)) < 0 ||
        u64_map_put(&t->by_pid, (uint64_t)p->pid, t->count) < 0) {
        session_process_close(p);
        return NULL;
    }
    p->seen_ns = clock_monotonic_ns();
    newcomers_remove(&t->newcomers, (u32)p->pid);
    t->all[t->count++] = p;
    process_table_publish(t, p);
    return p;
}

struct session_process *process_table_open(struct process_table *t, u32 pid, struct err *err) {
    struct session_process *p;
    if (full(t) || session_process_open(t->files, (pid_t)pid, &p, err) < 0)
        return NULL;
    return add(t, p);
}

struct session_process *process_table_parent(struct process_table *t, u32 pid, bool same_code) {
    for (unsigned generation = 0; generation < GENERATIONS; generation++) {
        uint64_t *parent = u64_map_get(&t->forked_by, pid);
        if (!parent || (same_code && *parent & EXECED))
            return NULL;
        pid = (u32)*parent;
        struct session_process *p = process_table_find(t, pid);
        if (!p && same_code && newcomers_remove(&t->newcomers, pid))
            p = process_table_open(t, pid, NULL);
        if (p)
            return p;
    }
    return NULL;
}

/* A process that ended before it could be asked, from what the kernel told when it mapped its code. */
static struct session_process *open_ended(struct process_table *t, const struct cpu_record_head *record) {
    struct target *target;
    struct session_process *p, *parent = process_table_parent(t, record->tgid, false);
    char comm[sizeof(record->comm) + 1] = {0};
    memcpy(comm, record->comm, sizeof(record->comm));
    _cleanup_(freep) struct target_mapping *mappings = NULL;
    size_t n;
    uint64_t since;
    if (full(t) || mapped_log_list(&t->mapped, record->tgid, record->time_ns, &mappings, &n, &since) < 0 ||
        target_open_ended((pid_t)record->tgid, comm, mappings, n, parent ? parent->target : NULL, &target, NULL) < 0 ||
        session_process_of(t->files, target, since, &p, NULL) < 0)
        return NULL;
    p->ended = true;
    p->now.taken_ns = since; /* whatever it became later */
    return add(t, p);
}

/* Opens a process unless that failed a moment ago. */
static struct session_process *open_either(struct process_table *t, const struct cpu_record_head *record,
                                           uint64_t now) {
    uint64_t *again = u64_map_get(&t->refused, record->tgid);
    struct err why = {0};
    if (again && now < (*again & ~(FORBIDDEN | FOREIGN)))
        return NULL;
    struct session_process *p = process_table_open(t, record->tgid, &why);
    uint64_t refusal = p ? 0 : refusal_of(why.code);
    if (!p && !refusal)
        p = open_ended(t, record);
    if (refusal & ~t->told) {
        profile_note(t->files->profile, "%s; its stacks are not walked, nor those of others like it", why.text);
        t->told |= refusal;
    }
    if (!p && u64_map_put(&t->refused, record->tgid, (now + RETRY_NS) | refusal) < 0)
        out_of_memory(t);
    return p;
}

const char *process_table_missing(const struct process_table *t, const struct cpu_record_head *record) {
    const uint64_t *again = u64_map_get(&t->refused, record->tgid);
    if (again && *again & FORBIDDEN)
        return "[not walked: scry may not read the process]";
    if (again && *again & FOREIGN)
        return "[not walked: a 32-bit program]";
    return mapped_new_image(&t->mapped, record->tgid, record->time_ns, UINT64_MAX)
               ? "[not walked: the process had become another program]"
               : "[not walked: the process had ended]";
}

static void keep_fresh(struct process_table *t, struct session_process *p, uint64_t now) {
    bool changed = false;
    if (now - p->refreshed_ns > REFRESH_NS)
        changed = session_process_refresh(p);
    if (session_process_attach_runtime(p, now) || changed)
        process_table_publish(t, p);
}

thread_id process_table_late_thread(struct process_table *t, const struct cpu_record_head *record) {
    struct profile *profile = t->files->profile;
    char comm[sizeof(record->comm) + 1] = {0};
    memcpy(comm, record->comm, sizeof(record->comm));
    thread_id departed = departed_thread(&t->departed, profile, record->tgid, record->tid, comm);
    if (departed)
        return departed;
    const struct session_process *parent = process_table_parent(t, record->tgid, true);
    string_id name = profile_string(profile, comm);
    struct profile_thread thread = parent ? session_process_identity(parent) : (struct profile_thread){0};
    thread.pid = record->tgid;
    thread.tid = record->tid;
    thread.process_name = thread.thread_name = name;
    return profile_thread(profile, &thread);
}

struct session_process *process_table_get(struct process_table *t, const struct cpu_record_head *record) {
    struct session_process *p = process_table_find(t, record->tgid);
    uint64_t now = clock_monotonic_ns();
    if (!p)
        p = open_either(t, record, now);
    if (p) {
        p->seen_ns = now;
        keep_fresh(t, p, now);
    }
    return p;
}

/* ---- what happens to processes ---- */

/* Forgets a process: it ended, or became another program. */
static void drop(struct process_table *t, u32 pid) {
    uint64_t *i = u64_map_get(&t->by_pid, pid);
    if (!i)
        return;
    size_t at = (size_t)*i, last = --t->count;
    cpu_source_forget_process(t->source, pid);
    session_process_close(t->all[at]);
    u64_map_remove(&t->by_pid, pid);
    if (at == last)
        return;
    t->all[at] = t->all[last];
    if (u64_map_put(&t->by_pid, (uint64_t)t->all[at]->pid, at) < 0)
        out_of_memory(t);
}

/* Until it is opened a child goes by its parent's list of mappings, and a new program by none. */
static void await(struct process_table *t, u32 pid) {
    if (newcomers_add(&t->newcomers, pid, clock_monotonic_ns()) < 0)
        out_of_memory(t);
}

void process_table_open_newcomers(struct process_table *t, uint64_t now_ns) {
    bool postponed;
    for (u32 pid; (pid = newcomers_due(&t->newcomers, now_ns, &postponed));)
        if (postponed)
            cpu_source_forget_process(t->source, pid); /* its parent may end by then, and take the list along */
        else if (!process_table_find(t, pid))
            process_table_open(t, pid, NULL);
}

void process_table_forked(struct process_table *t, u32 parent, u32 child) {
    if (u64_map_put(&t->forked_by, child, parent) < 0)
        out_of_memory(t);
    u64_map_remove(&t->refused, child);
    drop(t, child); /* a number used again */
    departed_forget(&t->departed, child);
    if (process_table_find(t, parent) || newcomers_has(&t->newcomers, parent))
        await(t, child);
}

void process_table_execed(struct process_table *t, u32 pid) {
    uint64_t *parent = u64_map_get(&t->forked_by, pid);
    if (parent)
        *parent |= EXECED;
    u64_map_remove(&t->refused, pid);
    drop(t, pid);
    await(t, pid);
}

/* What is at an address may have changed. */
void process_table_mapped(struct process_table *t, const struct cpu_mapped *mapped) {
    const struct cpu_record_head *record = &mapped->head;
    if (mapped_log_add(&t->mapped, mapped) < 0)
        out_of_memory(t);
    struct session_process *p = process_table_find(t, record->tgid);
    /* A program that starts maps its libraries one after the other; one look sees them all. */
    if (!p || record->time_ns < p->refreshed_ns || record->type != CPU_RECORD_MAP)
        return;
    bool changed = session_process_refresh(p);
    if (p->ended && !p->runtime) /* its next sample opens it anew, from the log */
        drop(t, record->tgid);
    else if (changed) {
        p->now.since_ns = MIN(p->now.since_ns, record->time_ns);
        process_table_publish(t, p);
    }
}

/* Forgets a process that ended, but for whose it was. */
static void see_off(struct process_table *t, u32 pid) {
    struct session_process *p = process_table_find(t, pid);
    if (!p)
        return;
    struct profile_thread as = session_process_identity(p);
    departed_add(&t->departed, &as, &p->threads, t->waits);
    drop(t, pid);
}

/* Of one that was never opened no more is known than whose child it was. */
static void see_newcomer_off(struct process_table *t, u32 pid) {
    if (!newcomers_remove(&t->newcomers, pid))
        return;
    const struct session_process *parent = process_table_parent(t, pid, true);
    if (!parent)
        return;
    struct profile_thread as = session_process_identity(parent);
    as.pid = pid;
    departed_add(&t->departed, &as, NULL, t->waits);
}

void process_table_exited(struct process_table *t, u32 pid) {
    see_off(t, pid);
    see_newcomer_off(t, pid);
    u64_map_remove(&t->forked_by, pid);
    u64_map_remove(&t->refused, pid);
}

bool process_table_ended(struct process_table *t) {
    return t->count == 0 && t->newcomers.count == 0 && !departed_wait(&t->departed);
}

static bool is_gone(struct session_process *p) {
    return !target_thread_state(p->target, p->pid);
}

/* A few a second: on a host with thousands of processes it takes minutes to come to each. */
static void ask_some(struct process_table *t) {
    uint64_t now = clock_monotonic_ns();
    for (unsigned n = 0; n < ASK_AT_ONCE && n < t->count; n++) {
        if (t->to_ask >= t->count)
            t->to_ask = 0;
        struct session_process *p = t->all[t->to_ask];
        if (now - p->seen_ns > SILENT_NS && is_gone(p))
            process_table_exited(t, (u32)p->pid); /* the last one takes its place */
        else
            t->to_ask++;
    }
}

void process_table_drop_ended(struct process_table *t, bool all) {
    for (size_t i = t->count; i-- > 0;) {
        struct session_process *p = t->all[i];
        if (p->ended || (all && is_gone(p)))
            see_off(t, (u32)p->pid);
    }
    if (!all)
        ask_some(t);
}
