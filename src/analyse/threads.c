#include "analyse/threads.h"

#include <errno.h>

#include "analyse/weights.h"
#include "base/mem.h"

static int compare_rows(const void *a, const void *b) {
    const struct analyse_thread_row *x = a, *y = b;
    if (x->value != y->value)
        return x->value > y->value ? -1 : 1;
    return (x->thread > y->thread) - (x->thread < y->thread);
}

static size_t sort_rows(struct analyse_thread_row *rows, size_t n) {
    if (n)
        qsort(rows, n, sizeof(*rows), compare_rows);
    return n;
}

/* Rows by thread, those without samples left out. */
static size_t add_up_threads(const struct profile *p, unsigned value, struct analyse_thread_row *rows) {
    unsigned counted = samples_value(p);
    size_t n = 0;
    for (size_t i = 0; i < p->n_samples; i++) {
        struct analyse_thread_row *row = &rows[p->samples[i].thread];
        row->value = profile_sum(row->value, weight_of(p, i, value));
        row->samples += samples_of(p, i, counted);
        row->threads = 1;
    }
    for (size_t i = 0; i < p->n_threads; i++) {
        if (!rows[i].threads)
            continue;
        rows[i].thread = (thread_id)i;
        rows[n++] = rows[i];
    }
    return n;
}

/* A thread that ran another program, or was called otherwise, is one all the same: its rows become one, which has the
 * name under which it used most. */
static int join_renamed(const struct profile *p, struct analyse_threads *t) {
    _cleanup_(u64_map_free) struct u64_map seen = {0};
    size_t n = 0;
    for (size_t i = 0; i < t->n_threads; i++) {
        struct analyse_thread_row row = t->threads[i];
        const struct profile_thread *who = &p->threads[row.thread];
        uint64_t key = (uint64_t)who->pid << 32 | who->tid;
        const uint64_t *known = who->tid ? u64_map_get(&seen, key) : NULL;
        if (known) {
            t->threads[*known].value = profile_sum(t->threads[*known].value, row.value);
            t->threads[*known].samples += row.samples;
            continue;
        }
        if (who->tid && u64_map_put(&seen, key, n) < 0)
            return -ENOMEM;
        t->threads[n++] = row;
    }
    t->n_threads = sort_rows(t->threads, n);
    return 0;
}

/* From the sorted rows of threads: the first of each process is its largest. */
static int add_up_processes(const struct profile *p, struct analyse_threads *t) {
    _cleanup_(u64_map_free) struct u64_map seen = {0};
    t->processes = mem_zalloc(t->n_threads, sizeof(*t->processes));
    if (!t->processes)
        return -ENOMEM;
    for (size_t i = 0; i < t->n_threads; i++) {
        const struct analyse_thread_row *row = &t->threads[i];
        const uint64_t *known = u64_map_get(&seen, p->threads[row->thread].pid);
        size_t at = known ? (size_t)*known : t->n_processes;
        if (!known) {
            if (u64_map_put(&seen, p->threads[row->thread].pid, at) < 0)
                return -ENOMEM;
            t->processes[t->n_processes++] = (struct analyse_thread_row){.thread = row->thread};
        }
        struct analyse_thread_row *process = &t->processes[at];
        process->value = profile_sum(process->value, row->value);
        process->samples += row->samples;
        process->threads++;
    }
    sort_rows(t->processes, t->n_processes);
    return 0;
}

int analyse_threads(const struct profile *p, unsigned value, struct analyse_threads *ret, struct err *err) {
    _cleanup_(analyse_threads_free) struct analyse_threads t = {0};
    t.threads = mem_zalloc(p->n_threads, sizeof(*t.threads));
    if (!t.threads)
        return err_nomem(err);
    t.n_threads = sort_rows(t.threads, add_up_threads(p, value, t.threads));
    if (join_renamed(p, &t) < 0)
        return err_nomem(err);
    for (size_t i = 0; i < t.n_threads; i++)
        t.total = profile_sum(t.total, t.threads[i].value);
    if (add_up_processes(p, &t) < 0)
        return err_nomem(err);
    *ret = t;
    t = (struct analyse_threads){0};
    return 0;
}

void analyse_threads_free(struct analyse_threads *t) {
    free(TAKE_PTR(t->threads));
    free(TAKE_PTR(t->processes));
}
