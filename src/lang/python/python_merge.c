/* Where Python's frames belong among the native ones: decided by address, never by symbol. */
#include <string.h>

#include "lang/python/python_process.h"

static bool in_ranges(const struct address_range *r, unsigned n, u64 address) {
    for (unsigned i = 0; i < n; i++)
        if (address >= r[i].start && address < r[i].end)
            return true;
    return false;
}

static u64 cfa_of(const struct raw_frame *f) {
    return f->word[1] & ~(u64)RAW_FLAGS;
}

struct merge {
    const struct lang_process *lp;
    const struct lang_streams *in;
    struct lang_merged *out;
    u32 n_out;
    u32 runtime; /* next entry of the runtime's stream */
};

static void put(struct merge *m, u32 index, u8 lang, bool internal) {
    m->out[m->n_out++] = (struct lang_merged){.index = index, .lang = lang, .internal = internal};
}

static bool is_boundary(const struct raw_frame *f) {
    return raw_kind(f) == PYTHON_RAW_BOUNDARY;
}

/* Puts the Python frames up to the next boundary and steps over it. */
static void put_run(struct merge *m) {
    while (m->runtime < m->in->n_runtime) {
        const struct raw_frame *f = &m->in->runtime[m->runtime++];
        if (is_boundary(f))
            return;
        put(m, m->runtime - 1, LANG_python, false);
    }
}

/* The boundary that ends the present run; NULL when the run has none. */
static const struct raw_frame *next_boundary(const struct merge *m) {
    for (u32 i = m->runtime; i < m->in->n_runtime; i++)
        if (is_boundary(&m->in->runtime[i]))
            return &m->in->runtime[i];
    return NULL;
}

/* The C frame of an eval loop holds the run's boundary between its stack pointer and its CFA. Several
 * boundaries may lie in one C frame when the compiler inlined a loop's callers into it. */
static void merge_by_boundary(struct merge *m) {
    u64 low = m->in->leaf_sp;
    for (u32 i = 0; i < m->in->n_native; i++) {
        const struct raw_frame *f = &m->in->native[i];
        u64 high = cfa_of(f);
        bool loop = false;
        const struct raw_frame *b;
        while (raw_kind(f) == RAW_NATIVE && high && (b = next_boundary(m)) && raw_address(b) >= low &&
               raw_address(b) < high) {
            put_run(m);
            loop = true;
        }
        put(m, i, 0, loop);
        /* A signal trampoline's frame says where the handler's stack was, not the interrupted one's. */
        if (high)
            low = f->word[1] & RAW_SIGNAL ? 0 : high;
    }
}

static u32 count_eval_frames(const struct merge *m) {
    u32 n = 0;
    for (u32 i = 0; i < m->in->n_native; i++)
        n += raw_kind(&m->in->native[i]) == RAW_NATIVE &&
             in_ranges(m->lp->eval, m->lp->n_eval, raw_address(&m->in->native[i]) - 1);
    return n;
}

/* Up to 3.9 each C frame of the eval loop runs one Python frame. A loop that has just been entered has
 * not linked its frame yet: then there is one C frame too many, at the leaf. */
static void merge_by_count(struct merge *m) {
    u32 n_python = m->in->n_runtime, n_eval = count_eval_frames(m);
    u32 skip = n_eval == n_python + 1 ? 1 : 0;
    for (u32 i = 0; i < m->in->n_native; i++) {
        const struct raw_frame *f = &m->in->native[i];
        bool loop = raw_kind(f) == RAW_NATIVE && in_ranges(m->lp->eval, m->lp->n_eval, raw_address(f) - 1);
        if (loop && skip)
            skip--;
        else if (loop && m->runtime < n_python)
            put(m, m->runtime++, LANG_python, false);
        put(m, i, 0, loop);
    }
}

u32 python_merge(const struct lang_process *lp, const struct lang_streams *in, struct lang_merged *ret) {
    struct merge m = {.lp = lp, .in = in, .out = ret};
    if (lp->config.style == PYTHON_FRAME_OBJECTS)
        merge_by_count(&m);
    else
        merge_by_boundary(&m);
    /* What found no place keeps the Python stack whole, at its root end. */
    while (m.runtime < in->n_runtime)
        put_run(&m);
    return m.n_out;
}

/* ---- machinery ---- */

/* Beginnings of the names of functions that only lead from one Python function to the next, or into
 * the first. Builtins that do work of their own (list.sort, json's scanner …) are not among them. */
static const char *const plumbing[] = {
    "_PyEval_",           "PyEval_",           "_PyFunction_",   "PyObject_Call",     "_PyObject_Call",
    "_PyObject_FastCall", "_PyObject_Vectorcall", "PyObject_Vectorcall", "_PyObject_MakeTpCall", "PyVectorcall_",
    "_PyVectorcall_",     "object_vacall",     "method_vectorcall", "vectorcall_",    "cfunction_",
    "slot_tp_call",       "slot_tp_init",      "slot_tp_new",    "wrapper_call",      "_PyMethodDef_",
    "_PyCFunction_",      "PyCFunction_Call",  "call_function",  "do_call_core",      "function_code_fastcall",
    "type_call",          "method_call",       "partial_vectorcall", "gen_send_ex",   "gen_iternext",
    "_PyGen_Send",        "builtin_exec",      "builtin___build_class__", "run_mod",  "run_eval_code_obj",
    "run_code_obj",       "pyrun_",            "PyRun_",         "_PyRun_",           "pymain_",
    "Py_RunMain",         "Py_Main",           "Py_BytesMain",   "_Py_UnixMain",      "thread_run",
    "t_bootstrap",        "pythread_wrapper",  "context_run",    "_PyStack_",         "fast_function",
    "PyObject_CallMethod", "_PyObject_CallMethod", "call_method", "vectorcall_method", "lookup_maybe_method",
    "property_descr_get",
};

bool python_is_internal(const struct lang_process *lp, u64 address, const char *symbol) {
    if (strcmp(symbol, "main") == 0 && in_ranges(lp->own, lp->n_own, address - 1))
        return true;
    if (strcmp(symbol, "_start") == 0 || strncmp(symbol, "__libc_start_", 13) == 0)
        return true;
    if (!in_ranges(lp->own, lp->n_own, address - 1))
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(plumbing); i++)
        if (strncmp(symbol, plumbing[i], strlen(plumbing[i])) == 0)
            return true;
    return false;
}
