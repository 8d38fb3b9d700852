/* What is known of one process's interpreter. Private to lang/python.
 * May use: lang/lang.h, lang/python/.
 * Must not: be seen by other rooms. */
#pragma once

#include "base/hash.h"
#include "lang/lang.h"
#include "lang/python/python_offsets.h"

enum { PYTHON_MAX_CODE = 8 };

struct lang_process {
    struct target *target; /* not owned */
    struct python_layout layout;
    struct python_config config;
    char version[48];
    uint64_t runtime;                          /* address of _PyRuntime; 0 in 3.6 */
    uint64_t interpreters;                     /* address of the pointer to the newest interpreter */
    struct python_range code[PYTHON_MAX_CODE]; /* of the file that holds the interpreter */
    unsigned n_code;
    bool tail_calls;     /* the loop's function only calls others, one for each opcode, that jump to one another */
    bool generates_code; /* the interpreter may compile traces to machine code (3.13+, --enable-experimental-jit) */
    uint64_t loop_bias;  /* address in the target - address in the file */
    bool python_program; /* the process runs the python command; not a program that embeds it */
    bool only_python;    /* the file that holds the interpreter is python or libpython; not an embedding program */
    struct python_names *names;
    struct python_thread_names *thread_names;
};

/* ---- python_detect.c ---- */

/* The file that holds the interpreter. Owns `file`. */
struct python_object {
    struct symbol_file *file;      /* NULL when it cannot be had: then symbols are not known */
    struct target_mapping mapping; /* one of its mappings; `path` is the target's */
    uint64_t bias;
    uint64_t runtime; /* address of _PyRuntime, 0 when it has none (3.6) */
};

/* Looks through every file the process has mapped, and passes over the first `skip` interpreters: a program that holds
 * one may load modules that bring another, which is never started. -ENOENT when there are no more. */
int python_detect(struct target *t, unsigned skip, struct python_object *ret, struct err *err);
void python_object_clear(struct python_object *o);
/* Address of a symbol in the target, 0 when it is not known. */
uint64_t python_symbol(const struct python_object *o, const char *name);

/* PY_VERSION among an interpreter's constants: a string of its own, or the end of a longer one into which the
 * linker merged it. Reads them twice at most, whatever they hold. */
bool python_version_in(const char *text, size_t size, struct python_layout *ret);

/* Fills layout, runtime and interpreters. */
int python_identify(struct target *t, const struct python_object *o, struct lang_process *lp, struct err *err);

/* ---- python_search.c ---- */

/* The file that holds the interpreter by its name, among those that cannot be had. Returns the minor version,
 * 0 when there is none. */
unsigned python_detect_unseen(struct target *t, struct python_object *ret);
/* Fills layout, runtime and interpreters from memory alone. -ENODATA when it does not hold them. */
int python_identify_unseen(const struct python_object *o, struct lang_process *lp, struct err *err);

/* ---- python_threads.c ---- */

/* Fills the configuration: where threads keep their state, and how many interpreters there are.
 * -EAGAIN when there is no thread yet. */
int python_find_threads(const struct python_object *o, struct lang_process *lp, struct err *err);

/* ---- python_loops.c ---- */

/* Fills the configuration: the evaluation loop's code, if it can be found. */
void python_find_loops(const struct python_object *o, struct lang_process *lp);

static inline bool python_in_ranges(const struct python_range *r, unsigned n, uint64_t address) {
    for (unsigned i = 0; i < n; i++)
        if (address >= r[i].start && address < r[i].end)
            return true;
    return false;
}

/* ---- what the walk emits beside frames ---- */

static inline bool python_is(const struct raw_frame *f, enum python_raw kind) {
    return raw_kind(f) == RAW_LANG(LANG_python, kind);
}
static inline bool python_is_record(const struct raw_frame *f) {
    return python_is(f, PYTHON_RAW_LOOP);
}
static inline bool python_is_mark(const struct raw_frame *f) {
    return python_is(f, PYTHON_RAW_STATE);
}

/* Whether a frame of the native stream is one of the evaluation loop. */
static inline bool python_is_loop(const struct lang_process *lp, const struct raw_frame *native) {
    return raw_kind(native) == RAW_NATIVE && python_in_loop(&lp->config, raw_code(native));
}

/* ---- python_places.c ---- */

/* Up to 3.9: makes a stream of several thread states, `n` frames, like a later version's: behind each frame whose loop is
 * found stands its record. Returns how many frames there are then. */
u32 python_place_frames(struct raw_frame *frames, u32 n);

/* ---- python_states.c ---- */

/* Brings the runtime's stream, with marks of its thread states, into the order in which they lie on the native stack, and
 * leaves out the marks and what is on other threads' stacks. Returns how many frames there are then. */
u32 python_order_states(const struct lang_process *lp, const struct lang_streams *in);

/* ---- python_merge.c ---- */

u32 python_merge(const struct lang_process *lp, const struct lang_streams *in, struct lang_merged *ret);
bool python_switches_stacks(const char *path);
bool python_is_internal(const struct lang_process *lp, u64 address, const char *symbol);

/* ---- python_names.c ---- */

struct python_names *python_names_new(void);
void python_names_free(struct python_names *n);
frame_id python_name_frame(struct lang_process *lp, struct profile *p, const struct raw_frame *f);

/* ---- python_thread_names.c ---- */

struct python_thread_names *python_thread_names_new(void);
void python_thread_names_free(struct python_thread_names *n);
int python_thread_name(struct lang_process *lp, u32 tid, char *ret, size_t size);
