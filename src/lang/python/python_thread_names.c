/* The names that a Python program gave its threads: threading._active is a dictionary from the idents of running threads
 * to their Thread objects. An ident is pthread_self(), and so the address of the C library's record of the thread,
 * which has the thread's id:
 *   glibc  struct pthread: tid at 720 (nptl/descr.h; the same in 2.17-2.43)
 *   musl   struct pthread: prev at 16, next at 24, a circle of all threads; tid at 48 (src/internal/pthread_impl.h; 1.2)
 * With another C library, Thread._native_id (3.8+) tells it. That is not asked first, because before 3.14 it is stale
 * after a fork, and with greenlets many Thread objects have the same.
 *
 * All are read at once. A thread enters itself into the table a while after it began, and some never do; many give
 * themselves another name first of all, and any may later: the older a thread is, the longer it waits for the next
 * reading. How often it is read for all of them is bounded by what it costs. */
#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
#include "lang/python/python_objects.h"
#include "lang/python/python_process.h"

enum {
    MAX_THREADS = 4096,
    MAX_INTERPRETERS = 64,
    MAX_READS = 200000, /* of one reading */
    MAX_BYTES = 64 << 20,
    GLIBC_TID = 720,
    MUSL_PREVIOUS = 16,
    MUSL_NEXT = 24,
    MUSL_TID = 48,
    COST_SHARE = 200, /* readings cost at most this fraction of a core */
};
static const uint64_t SOONEST_NS = 20000000, LATEST_NS = 1000000000, LATEST_NAMED_NS = 5000000000;

struct python_thread_names {
    uint64_t soonest_ns;   /* when the next reading may be */
    uint64_t last_ns;      /* when the last one ended */
    uint64_t readings;     /* how many there were */
    struct u64_map by_tid; /* index into names */
    struct u64_map asked;  /* index into `all`: threads that were asked for */
    struct asked_thread {
        uint64_t first_ns; /* when that was first */
        uint64_t readings; /* how many there were when it was last looked for */
        bool named;
    } * all;
    size_t n_all, cap_all;
    struct thread_name {
        char text[64];
    } * names;
    size_t count, capacity;
    struct python_key threading, active, name, native_id;
};

struct python_thread_names *python_thread_names_new(void) {
    struct python_thread_names *n = mem_zalloc(1, sizeof(*n));
    if (n) {
        n->threading.text = "threading";
        n->active.text = "_active";
        n->name.text = "_name";
        n->native_id.text = "_native_id";
    }
    return n;
}

void python_thread_names_free(struct python_thread_names *n) {
    if (!n)
        return;
    u64_map_free(&n->by_tid);
    u64_map_free(&n->asked);
    free(n->all);
    free(n->names);
    free(n);
}

/* ---- one thread ---- */

struct reading {
    struct python_reader reader;
    struct python_thread_names *names;
    struct python_entries table, attributes; /* scratch */
};

struct found {
    struct thread_name name;
    uint32_t pthread_tid;
    uint64_t native_id;
};

/* The kernel's id of the thread whose record in the C library this is; 0 when it cannot be read. */
static uint32_t thread_id_of(struct python_reader *r, uint64_t pthread) {
    uint32_t tid;
    uint64_t next = python_word(r, pthread + MUSL_NEXT);
    bool musl = next && python_word(r, next + MUSL_PREVIOUS) == pthread;
    return python_read(r, pthread + (musl ? MUSL_TID : GLIBC_TID), &tid, sizeof(tid)) ? tid : 0;
}

static bool read_thread(struct reading *r, const struct python_entry *e, struct found *ret) {
    struct python_reader *reader = &r->reader;
    *ret = (struct found){0};
    if (!python_attributes(reader, e->value, &r->attributes))
        return false;
    uint64_t name = python_find(reader, &r->attributes, &r->names->name);
    if (!python_short_text(reader, name, ret->name.text, sizeof(ret->name.text)) || !ret->name.text[0])
        return false;
    ret->pthread_tid = thread_id_of(reader, e->hash);
    if (reader->layout->minor >= 8)
        ret->native_id = python_integer(reader, python_find(reader, &r->attributes, &r->names->native_id));
    return true;
}

static void keep(struct python_thread_names *n, const struct found *f) {
    if (n->count >= MAX_THREADS || mem_grow((void **)&n->names, &n->capacity, n->count + 1, sizeof(*n->names)) < 0)
        return;
    /* What the C library says counts; it overrides what another Thread object, of a fork or a greenlet, claims. */
    uint64_t said = f->pthread_tid;
    bool claimed = f->native_id && f->native_id != said && !u64_map_get(&n->by_tid, f->native_id);
    if ((said && u64_map_put(&n->by_tid, said, n->count) < 0) ||
        (claimed && u64_map_put(&n->by_tid, f->native_id, n->count) < 0))
        return;
    n->names[n->count++] = f->name;
}

/* ---- all threads ---- */

/* The dictionary of a module's names. */
static bool read_module(struct reading *r, uint64_t module) {
    return module &&
           python_dict(&r->reader, python_word(&r->reader, module + r->reader.layout->object_type + 8), &r->table);
}

/* The address of threading._active, 0 when the interpreter has none. */
static uint64_t find_active(struct reading *r, uint64_t interpreter) {
    struct python_reader *reader = &r->reader;
    uint64_t modules = python_word(reader, interpreter + reader->layout->interpreter_modules);
    if (!python_dict(reader, modules, &r->table))
        return 0;
    uint64_t module = python_find(reader, &r->table, &r->names->threading);
    if (!module || !read_module(r, module))
        return 0;
    reader->text_type = python_word(reader, r->names->threading.object + reader->layout->object_type);
    return python_find(reader, &r->table, &r->names->active);
}

/* Threads end while their objects are read: what another reading of the table does not show is left out. */
static bool still_there(const struct python_entries *e, size_t i, const struct python_entry *wanted) {
    return i < e->count && e->all[i].hash == wanted->hash && e->all[i].value == wanted->value;
}

static void read_interpreter(struct reading *r, uint64_t interpreter) {
    uint64_t active = find_active(r, interpreter);
    _cleanup_(python_entries_free) struct python_entries again = {0};
    if (!python_dict(&r->reader, active, &r->table))
        return;
    size_t n = MIN(r->table.count, (size_t)PYTHON_MAX_ENTRIES), kept = 0;
    struct found *found = mem_zalloc(MIN(n, (size_t)MAX_THREADS), sizeof(*found));
    size_t *from = mem_zalloc(MIN(n, (size_t)MAX_THREADS), sizeof(*from));
    for (size_t i = 0; found && from && i < n && kept < MAX_THREADS; i++)
        if (r->table.all[i].value && read_thread(r, &r->table.all[i], &found[kept]))
            from[kept++] = i;
    if (kept && python_dict(&r->reader, active, &again))
        for (size_t i = 0; i < kept; i++)
            if (still_there(&again, from[i], &r->table.all[from[i]]))
                keep(r->names, &found[i]);
    free(found);
    free(from);
}

/* The main interpreter is the last of the list, and its names override those of the others. */
static void read_all(struct lang_process *lp) {
    struct python_thread_names *n = lp->thread_names;
    struct reading r = {.reader = {.target = lp->target, .layout = &lp->layout, .reads = MAX_READS, .bytes = MAX_BYTES},
                        .names = n};
    u64_map_free(&n->by_tid);
    n->count = 0;
    n->readings++;
    uint64_t interpreter = python_word(&r.reader, lp->interpreters);
    for (unsigned i = 0; interpreter && i < MAX_INTERPRETERS; i++) {
        read_interpreter(&r, interpreter);
        interpreter = python_word(&r.reader, interpreter + lp->layout.interpreter_next);
    }
    python_entries_free(&r.table);
    python_entries_free(&r.attributes);
}

static const char *find(const struct python_thread_names *n, uint32_t tid) {
    const uint64_t *index = u64_map_get(&n->by_tid, tid);
    return index ? n->names[*index].text : NULL;
}

/* Whether a thread is worth a reading. */
static bool is_due(const struct python_thread_names *n, const struct asked_thread *t, uint64_t now) {
    uint64_t age = n->last_ns > t->first_ns ? n->last_ns - t->first_ns : 0;
    uint64_t wait = MIN(MAX(age, SOONEST_NS), t->named ? LATEST_NAMED_NS : LATEST_NS);
    return now >= n->soonest_ns && now - n->last_ns >= wait;
}

static struct asked_thread *asked_thread(struct python_thread_names *n, uint32_t tid, uint64_t now) {
    const uint64_t *index = u64_map_get(&n->asked, tid);
    if (index)
        return &n->all[*index];
    if (mem_grow((void **)&n->all, &n->cap_all, n->n_all + 1, sizeof(*n->all)) < 0 ||
        u64_map_put(&n->asked, tid, n->n_all) < 0)
        return NULL;
    n->all[n->n_all] = (struct asked_thread){.first_ns = now, .readings = UINT64_MAX};
    return &n->all[n->n_all++];
}

int python_thread_name(struct lang_process *lp, u32 tid, char *ret, size_t size) {
    struct python_thread_names *n = lp->thread_names;
    uint64_t now = clock_monotonic_ns();
    struct asked_thread *t = asked_thread(n, tid, now);
    if (!t)
        return -ENOMEM;
    bool due = lp->layout.interpreter_modules != PYTHON_NONE && is_due(n, t, now);
    if (!due && t->readings == n->readings)
        return -ENOENT;
    uint32_t inner = (uint32_t)target_thread_inner_id(lp->target, (pid_t)tid);
    const char *name = find(n, inner);
    if (due && (!name || t->readings == n->readings)) {
        uint64_t used = clock_cpu_ns();
        read_all(lp);
        name = find(n, inner);
        n->last_ns = clock_monotonic_ns();
        n->soonest_ns = n->last_ns + (clock_cpu_ns() - used) * COST_SHARE;
    }
    t->readings = n->readings;
    if (!name)
        return -ENOENT;
    t->named = true;
    snprintf(ret, size, "%s", name);
    return 0;
}
