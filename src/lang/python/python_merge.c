/* Merges the native stack and the Python frames, by address.
 *
 * 3.10+: every C activation of the evaluation loop has a record on the C stack (_PyCFrame, shim frame), and
 * the walk emitted its address behind the run of Python frames which that activation executes. The native
 * frame that covers this address is the loop's: the run stands leafward of it.
 * <= 3.9: one activation per Python frame; its native frame is recognised by its code address. Where a thread has
 * several states there are records, see python_places.c.
 *
 * Where a library switches stacks (greenlet) the Python frames are those of the running greenlet alone, and its C
 * stack begins with the library's code: rootward of the oldest Python frame. What the walk found beyond belongs to
 * whoever was there last. */
#include <string.h>

#include "lang/python/python_process.h"

struct merge {
    const struct lang_process *lp;
    const struct lang_streams *in;
    struct lang_merged *ret;
    u32 n;        /* entries written */
    u32 frame;    /* of the runtime's stream: the next to be written */
    u32 record;   /* the next loop record to be placed, or n_runtime */
    u32 idle;     /* loops at the leaf that have no Python frame: just begun, or about to return */
    u32 native;   /* the entry of the native frame that was written last */
    u64 low;      /* stack address where the native frame at hand begins */
    bool ordered; /* python_order_states() did it */
};

static bool is_switching(const struct merge *m, u32 i) {
    return m->in->switching && m->in->switching[i];
}

/* Whether native frame i, which was written last, is where a greenlet begins: every Python frame stands before it. */
static bool is_seam(struct merge *m, u32 i) {
    bool seam = is_switching(m, i) && m->frame > 0 && m->frame == m->in->n_runtime;
    m->ret[m->n - 1].root = seam;
    return seam;
}

static u32 next_record(const struct lang_streams *in, u32 i) {
    while (i < in->n_runtime && !python_is_record(&in->runtime[i]))
        i++;
    return i;
}

/* Whether native frame i is of the file that holds the interpreter. */
static bool is_interpreters(const struct merge *m, u32 i) {
    const struct raw_frame *f = &m->in->native[i];
    return raw_kind(f) == RAW_NATIVE && python_in_ranges(m->lp->code, m->lp->n_code, raw_address(f));
}

/* Rootward of the oldest Python frame the interpreter's own code only started it, whatever it is called; not so where
 * its file is also a program of its own. */
static bool only_starts(const struct merge *m, u32 i) {
    return m->lp->only_python && m->frame > 0 && m->frame >= m->in->n_runtime && is_interpreters(m, i);
}

static void put_native(struct merge *m, u32 i, bool internal) {
    internal = internal || only_starts(m, i);
    m->native = m->n;
    m->ret[m->n++] = (struct lang_merged){.index = i, .lang = 0, .internal = internal};
}

/* Writes Python frames up to the end of their run: the next record, or everything. */
static void put_run(struct merge *m, bool everything) {
    for (; m->frame < m->in->n_runtime; m->frame++) {
        if (!python_is_record(&m->in->runtime[m->frame]))
            m->ret[m->n++] = (struct lang_merged){.index = m->frame, .lang = LANG_python};
        else if (!everything)
            break;
    }
    if (!everything && m->frame < m->in->n_runtime)
        m->frame++; /* past the record */
}

/* ---- 3.10+ ---- */

/* 3.10 and 3.11 keep frames and records in two chains, and a thread may be interrupted between changing one
 * and the other. Both are whole at the root end, so what is too many there is missing at the leaf. */
static void align_chains(struct merge *m) {
    const struct lang_streams *in = m->in;
    u32 records = 0, frames = 0;
    for (u32 i = in->n_runtime; i-- > 0 && python_is_record(&in->runtime[i]);)
        records++;
    for (u32 i = in->n_runtime; i-- > 0 && !python_is_record(&in->runtime[i]);)
        frames++;
    if (records > 1)
        m->idle = records - 1;
    else if (frames && frames < in->n_runtime && m->lp->config.loops == PYTHON_LOOPS_CFRAME_EACH)
        for (; frames; frames--)
            put_run(m, false);
}

/* Where the native frame begins: where its callee ends. Behind a signal's frame or a cut that is not known. */
static u64 low_of(const struct merge *m, u32 i, u64 high) {
    enum { LARGEST_LOOP_FRAME = 16 << 10 };
    u64 near = high > LARGEST_LOOP_FRAME ? high - LARGEST_LOOP_FRAME : 0;
    if (i == 0)
        return m->low;
    const struct raw_frame *callee = &m->in->native[i - 1];
    if (raw_kind(callee) == 0)
        return near;
    if ((callee->word[1] & RAW_SIGNAL) && high <= m->low) /* the handler ran on a stack of its own */
        return near;
    return m->low;
}

/* 3.10 and 3.11: a greenlet's chain of records ends with one in the frame of the library that began it, which is
 * no loop's. */
static u32 without_seams_record(const struct merge *m) {
    const struct lang_streams *in = m->in;
    u32 n = in->n_runtime;
    if (!in->switching || n == 0 || !python_is_record(&in->runtime[n - 1]))
        return n;
    for (u32 i = 0; i < in->n_native; i++) {
        const struct raw_frame *f = &in->native[i];
        if (raw_kind(f) && raw_address(&in->runtime[n - 1]) < (f->word[1] & ~(u64)RAW_FLAGS))
            return in->switching[i] ? n - 1 : n;
    }
    return n;
}

/* Places the loops whose records lie below the end of native frame i. Returns whether it is one itself. */
static bool place_loops(struct merge *m, u64 low, u64 high) {
    const struct lang_streams *in = m->in;
    bool internal = false;
    while (m->record < in->n_runtime) {
        u64 at = raw_address(&in->runtime[m->record]);
        if (at >= high)
            break;
        internal = internal || at >= low;
        m->record = next_record(in, m->record + 1);
        if (m->idle)
            m->idle--;
        else
            put_run(m, false);
    }
    return internal;
}

/* ---- what a loop calls to do its own work ---- */

/* Whether native frame i is of no file: without call-frame information, and not known to be mapped from one. */
static bool is_generated(const struct merge *m, u32 i) {
    const struct raw_frame *f = &m->in->native[i];
    if (raw_kind(f) != RAW_NATIVE || !(f->word[1] & RAW_APPROXIMATE) || is_interpreters(m, i))
        return false;
    const struct target_mapping *in = m->lp->target ? target_find_mapping(m->lp->target, raw_address(f)) : NULL;
    return !in || in->path[0] != '/';
}

/* Marks native frame k, leafward of frame i that is about to be written and with no Python frame between. */
static bool fold(struct merge *m, u32 i, u32 k) {
    u32 back = i - 1 - k;
    struct lang_merged *entry = back <= m->native ? &m->ret[m->native - back] : NULL;
    if (!entry || entry->lang || entry->index != k || entry->internal)
        return false;
    entry->internal = true;
    return true;
}

/* Native frame i is a loop's. Where each opcode has a function of its own, what the loop called is one of these,
 * whatever it is called. Where the interpreter generates code for what runs often, the loop calls that, or a function
 * that enters it. */
static void fold_callees(struct merge *m, u32 i) {
    const struct lang_process *lp = m->lp;
    u32 k = i;
    if (k && is_interpreters(m, k - 1) && (lp->tail_calls || (lp->generates_code && k > 1 && is_generated(m, k - 2))) &&
        fold(m, i, k - 1))
        k--;
    while (lp->generates_code && k && is_generated(m, k - 1) && fold(m, i, k - 1))
        k--;
}

static void merge_records(struct merge *m) {
    const struct lang_streams *in = m->in;
    m->low = in->leaf_sp;
    m->record = next_record(in, 0);
    if (m->lp->config.loops != PYTHON_LOOPS_SHIM && !m->ordered)
        align_chains(m);
    for (u32 i = 0; i < in->n_native; i++) {
        const struct raw_frame *f = &in->native[i];
        u64 high = raw_kind(f) ? f->word[1] & ~(u64)RAW_FLAGS : 0;
        bool internal = false;
        if (high) {
            internal = place_loops(m, low_of(m, i, high), high);
            if (internal)
                fold_callees(m, i);
            m->low = high;
        }
        put_native(m, i, internal);
        if (is_seam(m, i))
            return;
    }
    put_run(m, true);
}

/* ---- <= 3.9 ---- */

/* How many loops at the leaf have no Python frame. Only two whole stacks can be compared. */
static u32 idle_loops(const struct merge *m) {
    u32 loops = 0, frames = 0;
    for (u32 i = 0; i < m->in->n_runtime; i++) {
        if (raw_kind(&m->in->runtime[i]) == 0)
            return 0;
        frames++;
    }
    for (u32 i = 0; i < m->in->n_native && !(is_switching(m, i) && loops >= frames); i++) {
        if (raw_kind(&m->in->native[i]) == 0)
            return 0;
        loops += python_is_loop(m->lp, &m->in->native[i]);
    }
    return loops > frames ? loops - frames : 0;
}

static void merge_counted(struct merge *m) {
    const struct lang_streams *in = m->in;
    m->idle = idle_loops(m);
    for (u32 i = 0; i < in->n_native; i++) {
        bool loop = python_is_loop(m->lp, &in->native[i]);
        if (loop && m->idle)
            m->idle--;
        else if (loop && m->frame < in->n_runtime)
            m->ret[m->n++] = (struct lang_merged){.index = m->frame++, .lang = LANG_python};
        put_native(m, i, loop);
        if (is_seam(m, i))
            return;
    }
    put_run(m, true);
}

u32 python_merge(const struct lang_process *lp, const struct lang_streams *in, struct lang_merged *ret) {
    struct lang_streams own = *in;
    struct merge m = {.lp = lp, .in = &own, .ret = ret};
    m.ordered = in->n_runtime && python_is_mark(&in->runtime[0]);
    if (m.ordered)
        own.n_runtime = python_order_states(lp, in);
    if (lp->config.loops != PYTHON_LOOPS_FRAME)
        own.n_runtime = without_seams_record(&m);
    if (lp->config.loops != PYTHON_LOOPS_FRAME || next_record(&own, 0) < own.n_runtime)
        merge_records(&m);
    else
        merge_counted(&m);
    return m.n;
}

bool python_switches_stacks(const char *path) {
    /* … cpython-311-x86_64-linux-gnu.so */
    static const char *const modules[] = {"_greenlet.", "greenlet.", "_cfibers."};
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    bool found = false;
    for (size_t i = 0; i < ARRAY_SIZE(modules) && !found; i++)
        found = strncmp(name, modules[i], strlen(modules[i])) == 0 && strstr(name, ".so");
    return found;
}

/* ---- machinery ---- */

struct pattern {
    const char *text;
    size_t length;
    bool exact;
};

static const struct pattern machinery[] = {
#define NAME(text) {text, sizeof(text) - 1, true},
#define PREFIX(text) {text, sizeof(text) - 1, false},
#include "lang/python/python_internal.def"
#undef NAME
#undef PREFIX
};

static bool is_machinery(const char *symbol) {
    for (size_t i = 0; i < ARRAY_SIZE(machinery); i++)
        if (strncmp(symbol, machinery[i].text, machinery[i].length) == 0 &&
            (!machinery[i].exact || symbol[machinery[i].length] == '\0' || symbol[machinery[i].length] == '.'))
            return true;
    return false;
}

static bool is_start(const char *symbol) {
    return strcmp(symbol, "main") == 0 || strcmp(symbol, "_start") == 0 || strncmp(symbol, "__libc_start_", 13) == 0;
}

bool python_is_internal(const struct lang_process *lp, u64 address, const char *symbol) {
    if (python_in_loop(&lp->config, address - 1))
        return true;
    if (strncmp(symbol, "py::", 4) == 0) /* with -X perf each function has a trampoline of its name */
        return true;
    if (lp->python_program && is_start(symbol))
        return true;
    return python_in_ranges(lp->code, lp->n_code, address) && is_machinery(symbol);
}
