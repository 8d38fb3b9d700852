/* Finds out where this process's threads keep the pointer to their Python state, so that the walk needs
 * no search: from what the interpreter says of itself, and always checked against the thread states that
 * its own lists hold. A thread state knows its thread's pthread_self(), which is the thread pointer.
 *
 * Through 3.14 the place is a pthread key:
 *   glibc  struct pthread: specific_1stblock at 784, 16 bytes per key {seq, data}, 32 keys; from key 32 on
 *          blocks of 32, whose pointers are an array at 784 + 32 * 16 (nptl/descr.h; the same in 2.17-2.43)
 *   musl   struct pthread: tsd at 128, a pointer per key (src/internal/pthread_impl.h; 1.2)
 * From 3.15 on it is the thread-local variable _Py_tss_gilstate: its offset is in the instructions of
 * PyGILState_GetThisThreadState(), which every build exports. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lang/python/python_process.h"

enum {
    GLIBC_KEYS = 784,
    GLIBC_BLOCK = 32,
    MUSL_KEYS = 128,
    MAX_THREADS = 64, /* thread states used for checking */
    MAX_INTERPRETERS = 64,
    MAX_SEARCH = 4096, /* thread states looked at: a list of a hostile process may be a circle */
    BRUTE_FORCE_KEYS = 128,
    BRUTE_FORCE_BYTES = 4096, /* below the thread pointer */
};

struct threads {
    struct {
        uint64_t state, pointer; /* address of the thread state; its thread's pointer */
    } all[MAX_THREADS];
    size_t count;
    size_t looked_at; /* thread states, also those that are not kept */
};

/* ---- the lists ---- */

/* Reads the thread states of one interpreter. -EBADMSG when one does not belong to it. */
static int list_threads(struct lang_process *lp, uint64_t interpreter, struct threads *ret) {
    const struct python_layout *l = &lp->layout;
    uint64_t state;
    if (target_read(lp->target, interpreter + l->interpreter_threads, &state, 8) < 0)
        return -EFAULT;
    while (state && ret->count < MAX_THREADS && ret->looked_at++ < MAX_SEARCH) {
        uint64_t owner, pointer;
        if (target_read(lp->target, state + l->thread_interpreter, &owner, 8) < 0 ||
            target_read(lp->target, state + l->thread_id, &pointer, 8) < 0)
            return -EFAULT;
        if (owner != interpreter)
            return -EBADMSG;
        if (pointer) { /* else it has not started yet */
            ret->all[ret->count].state = state;
            ret->all[ret->count++].pointer = pointer;
        }
        if (target_read(lp->target, state + l->thread_next, &state, 8) < 0)
            return -EFAULT;
    }
    return 0;
}

/* A running process changes its lists while they are read; so a failure may be retried. */
static int list_all(struct lang_process *lp, struct threads *ret) {
    uint64_t interpreter;
    *ret = (struct threads){0};
    if (target_read(lp->target, lp->interpreters, &interpreter, 8) < 0)
        return -EFAULT;
    for (unsigned i = 0; interpreter && i < MAX_INTERPRETERS; i++) {
        int rc = list_threads(lp, interpreter, ret);
        if (rc < 0)
            return rc;
        if (target_read(lp->target, interpreter + lp->layout.interpreter_next, &interpreter, 8) < 0)
            return -EFAULT;
    }
    return ret->count ? 0 : -EAGAIN;
}

/* ---- candidates ---- */

static struct python_place glibc_key(uint64_t key) {
    if (key < GLIBC_BLOCK)
        return (struct python_place){.steps = {(s32)(GLIBC_KEYS + 16 * key + 8)}, .count = 1};
    s32 block = (s32)(GLIBC_KEYS + 16 * GLIBC_BLOCK + 8 * (key / GLIBC_BLOCK));
    return (struct python_place){.steps = {block, (s32)(16 * (key % GLIBC_BLOCK) + 8)}, .count = 2};
}

static struct python_place musl_key(uint64_t key) {
    return (struct python_place){.steps = {MUSL_KEYS, (s32)(8 * key)}, .count = 2};
}

static uint64_t follow(struct target *t, uint64_t pointer, const struct python_place *p) {
    uint64_t value = pointer;
    for (unsigned i = 0; i < p->count; i++)
        if (target_read(t, value + (uint64_t)(int64_t)p->steps[i], &value, 8) < 0)
            return 0;
    return value;
}

/* Whether the thread has made the state. */
static bool is_its(const struct threads *threads, uint64_t pointer, uint64_t state) {
    size_t i = 0;
    while (i < threads->count && (threads->all[i].pointer != pointer || threads->all[i].state != state))
        i++;
    return i < threads->count;
}

static bool was_before(const struct threads *threads, size_t i) {
    size_t j = 0;
    while (threads->all[j].pointer != threads->all[i].pointer)
        j++;
    return j < i;
}

/* Takes the place if most threads have a state there. One that waits to be joined may have none, one that made states
 * for others, or that has states in several interpreters, has one of them. */
static bool accept(struct lang_process *lp, const struct threads *threads, const struct python_place *p, u8 flags) {
    size_t n = 0, with = 0;
    for (size_t i = 0; p->count && i < threads->count; i++) {
        if (was_before(threads, i))
            continue;
        n++;
        with += is_its(threads, threads->all[i].pointer, follow(lp->target, threads->all[i].pointer, p));
    }
    if (with * 2 <= n)
        return false;
    lp->config.slot = *p;
    lp->config.flags |= flags;
    return true;
}

/* ---- through 3.14: the key ---- */

static bool find_key(const struct python_object *o, struct lang_process *lp, const struct threads *threads) {
    uint32_t key = UINT32_MAX;
    uint64_t at = 0;
    if (lp->layout.minor == 6)
        at = python_symbol(o, "autoTLSkey");
    else if (lp->layout.runtime_key != PYTHON_NONE)
        at = lp->runtime + lp->layout.runtime_key;
    if (!at || target_read(lp->target, at, &key, 4) < 0 || key >= 1024)
        return false;
    struct python_place glibc = glibc_key(key), musl = musl_key(key);
    u8 flags = PYTHON_SLOT_COMPLETE | (lp->layout.minor >= 12 ? PYTHON_SLOT_OF_LAST : 0);
    return accept(lp, threads, &glibc, flags) || accept(lp, threads, &musl, flags);
}

static bool try_keys(struct lang_process *lp, const struct threads *threads) {
    for (uint64_t key = 0; key < BRUTE_FORCE_KEYS; key++) {
        struct python_place glibc = glibc_key(key), musl = musl_key(key);
        if (accept(lp, threads, &glibc, 0) || accept(lp, threads, &musl, 0))
            return true;
    }
    return false;
}

/* ---- from 3.15: the thread-local variable ---- */

/* What a function that returns a thread-local pointer says of its place, in three forms:
 *   mov %fs:OFFSET,%rax                                   64 48 8b 04 25 imm32      (programs)
 *   mov GOT(%rip),%rax; mov %fs:(%rax),%rax               48 8b 05 rel32, 64 48 8b 00   (initial-exec)
 *   lea GOT(%rip),%rdi; call __tls_get_addr; mov DISPLACEMENT(%rax),%rax              (libraries)
 *                                                         48 8d 3d rel32, 48 8b 80 imm32 | 40 imm8 | 00 */
struct accessor {
    uint64_t function;
    uint8_t code[64];
    uint64_t got, module; /* addresses loaded so far */
};

static int32_t immediate(const uint8_t *c) {
    int32_t v;
    memcpy(&v, c, 4);
    return v;
}

/* Bytes 48 8b 80|40|00: a load from %rax. */
static bool is_load(const uint8_t *c, int32_t *ret_displacement) {
    if (c[0] != 0x48 || c[1] != 0x8b || (c[2] != 0x80 && c[2] != 0x40 && c[2] != 0))
        return false;
    *ret_displacement = c[2] == 0x80 ? immediate(c + 3) : c[2] == 0x40 ? (int8_t)c[3] : 0;
    return true;
}

/* Looks at the instruction that may begin at byte i. Returns whether the place is known now. */
static bool read_accessor(struct lang_process *lp, struct accessor *a, size_t i, struct python_place *ret) {
    const uint8_t *c = a->code + i;
    uint64_t relative = a->function + i + 7 + (uint64_t)(int64_t)immediate(c + 3);
    int64_t words[2];
    int32_t displacement;
    if (memcmp(c, "\x64\x48\x8b\x04\x25", 5) == 0) {
        *ret = (struct python_place){.steps = {immediate(c + 5)}, .count = 1};
        return true;
    }
    if (memcmp(c, "\x48\x8b\x05", 3) == 0)
        a->got = relative;
    if (memcmp(c, "\x48\x8d\x3d", 3) == 0)
        a->module = relative;
    if (a->got && memcmp(c, "\x64\x48\x8b\x00", 4) == 0 && target_read(lp->target, a->got, words, 8) == 0) {
        *ret = (struct python_place){.steps = {(s32)words[0]}, .count = 1};
        return true;
    }
    if (a->module && is_load(c, &displacement) && target_read(lp->target, a->module, words, 16) == 0) {
        /* The thread's vector of blocks is at 8; glibc has 16 bytes per module in it. */
        *ret = (struct python_place){.steps = {8, (s32)(16 * words[0]), (s32)words[1] + displacement}, .count = 3};
        return true;
    }
    return false;
}

static struct python_place place_in_code(struct lang_process *lp, uint64_t function) {
    struct accessor a = {.function = function};
    struct python_place p = {0};
    if (function && target_read(lp->target, function, a.code, sizeof(a.code)) == 0)
        for (size_t i = 0; i + 9 <= sizeof(a.code) && !read_accessor(lp, &a, i, &p); i++)
            ;
    return p;
}

/* The place of a thread-local variable, of the program or one of its first libraries. */
static struct python_place place_of_symbol(const struct python_object *o, const char *name) {
    struct symbol_tls tls;
    if (!o->file || symbol_file_find_tls(o->file, name, &tls) < 0 || !tls.block_align)
        return (struct python_place){0};
    uint64_t size = (tls.block_size + tls.block_align - 1) & ~(tls.block_align - 1);
    return (struct python_place){.steps = {(s32)(tls.offset - size)}, .count = 1};
}

static bool find_variable(const struct python_object *o, struct lang_process *lp, const struct threads *threads) {
    enum { FLAGS = PYTHON_SLOT_COMPLETE | PYTHON_SLOT_OF_LAST };
    struct python_place in_code = place_in_code(lp, python_symbol(o, "PyGILState_GetThisThreadState"));
    struct python_place by_symbol = place_of_symbol(o, "_Py_tss_gilstate");
    return accept(lp, threads, &in_code, FLAGS) || accept(lp, threads, &by_symbol, FLAGS);
}

/* Just below the thread pointer lie the thread-local variables of the program and its first libraries. */
static bool try_variables(struct lang_process *lp, const struct threads *threads) {
    for (s32 at = -8; at >= -BRUTE_FORCE_BYTES; at -= 8) {
        struct python_place p = {.steps = {at}, .count = 1};
        if (accept(lp, threads, &p, 0))
            return true;
    }
    return false;
}

/* ---- the state that runs ---- */

/* Whether every thread has a state there, or nothing. */
static bool holds_states(struct lang_process *lp, const struct threads *threads, const struct python_place *p) {
    size_t i = 0;
    for (; p->count && i < threads->count; i++) {
        uint64_t state = follow(lp->target, threads->all[i].pointer, p);
        size_t j = 0;
        while (state && j < threads->count && threads->all[j].state != state)
            j++;
        if (j == threads->count)
            break;
    }
    return p->count && i == threads->count;
}

/* From 3.12 on a thread-local variable, which PyThreadState_Get() returns; before it stands in the runtime, in front of the key (struct
 * _gilstate_runtime_state; until 3.8 there is one pointer more between them). */
static void find_running(const struct python_object *o, struct lang_process *lp, const struct threads *threads) {
    const struct python_layout *l = &lp->layout;
    struct python_config *c = &lp->config;
    if (l->minor >= 12) {
        struct python_place in_code = place_in_code(lp, python_symbol(o, "PyThreadState_Get"));
        struct python_place by_symbol = place_of_symbol(o, "_Py_tss_tstate");
        c->running = holds_states(lp, threads, &in_code)     ? in_code
                     : holds_states(lp, threads, &by_symbol) ? by_symbol
                                                             : (struct python_place){0};
    } else if (l->minor == 6) {
        c->current = python_symbol(o, "_PyThreadState_Current");
    } else if (c->flags & PYTHON_SLOT_COMPLETE) { /* the key was found to be where it should */
        c->current = lp->runtime + l->runtime_key - 4 - (l->minor <= 8 ? 24 : 16);
    }
}

int python_find_threads(const struct python_object *o, struct lang_process *lp, struct err *err) {
    struct threads threads;
    int rc = -EAGAIN;
    for (unsigned tries = 0; tries < 10 && rc < 0; tries++)
        rc = list_all(lp, &threads);
    if (rc == -EAGAIN)
        return err_set(err, rc, NULL, "Python %s has not started its first thread yet", lp->version);
    if (rc < 0)
        return err_set(err, rc, NULL, "Python %s is there, but its list of threads is not as this version's should be",
                       lp->version);
    struct python_config *c = &lp->config;
    rc = python_layout_config(&lp->layout, c, err);
    if (rc < 0)
        return rc;
    c->interpreters = lp->interpreters;
    c->code_type = python_symbol(o, "PyCode_Type");
    if (!find_key(o, lp, &threads) && !find_variable(o, lp, &threads) && !try_keys(lp, &threads))
        try_variables(lp, &threads);
    find_running(o, lp, &threads);
    return 0;
}
