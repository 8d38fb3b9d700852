/* The profile: interned strings, functions, frames and stacks; samples with times and weights; how
 * good the data is. Everything that captures writes into it, everything that shows reads from it.
 * May use: base/.
 * Must not: know a runtime, a source, a file format or a terminal.
 *
 * Ids are indices into the profile's own tables and are valid only with their profile. Id 0 is
 * always "nothing": the empty string, no mapping, the empty stack, the unknown thread. All add and
 * intern calls copy what they are given. A call that is out of memory marks the profile as failed
 * (`profile_failed`), returns id 0 and changes nothing else, so that a writer checks once. */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/hash.h"

typedef uint32_t string_id;
typedef uint32_t function_id;
typedef uint32_t mapping_id;
typedef uint32_t frame_id;
typedef uint32_t stack_id;
typedef uint32_t thread_id;
typedef uint32_t labels_id;

enum { PROFILE_MAX_VALUE_TYPES = 8, PROFILE_MAX_LABELS = 16 };

struct profile_function {
    string_id name;        /* for people: demangled, qualified */
    string_id system_name; /* as the linker sees it; 0 when equal to name */
    string_id file;        /* source file, 0 when unknown */
    uint32_t start_line;   /* 0 when unknown */
};

struct profile_mapping {
    string_id file;     /* path as the target sees it, or "[vdso]", "[kernel]" */
    string_id build_id; /* hexadecimal, 0 when unknown */
    uint64_t start, limit, offset;
};

enum profile_frame_flags {
    FRAME_INLINED = 1 << 0,     /* the compiler inlined it into its parent frame */
    FRAME_APPROXIMATE = 1 << 1, /* found by frame pointer, without call-frame information */
    FRAME_INTERNAL = 1 << 2,    /* machinery of an interpreter: folded by default */
    FRAME_MARK = 1 << 3,        /* not code: a remark in the stack, such as a cut */
    FRAME_UNNAMED = 1 << 4,     /* no name was found; the name shown is an address or a file */
};

struct profile_frame {
    function_id function;
    uint32_t line, column; /* 0 when unknown; the line being executed, not where the function starts */
    string_id kind;        /* "native", "kernel", "python", … : a lang's name */
    uint32_t flags;        /* enum profile_frame_flags */
    mapping_id mapping;
    uint64_t address; /* in the target's address space; 0 when it has none */
};

/* A node of the stack tree. Walking `parent` from a sample's stack goes from the leaf to the root. */
struct profile_stack {
    stack_id parent;
    frame_id frame;
};

struct profile_thread {
    uint32_t pid, tid;
    string_id process_name, thread_name;
    string_id container; /* container id or cgroup path, 0 when none */
    string_id runtime;   /* "python 3.12.1", 0 when native */
};

struct profile_label {
    string_id key;
    string_id text; /* 0 for a numeric label */
    int64_t number;
    string_id unit;
};

struct profile_value_type {
    string_id type, unit; /* "cpu" in "nanoseconds", "samples" in "count" */
};

/* How good the data is. Counts are over the whole capture; every output carries them. */
struct profile_count {
    string_id reason;
    uint64_t count;
};

struct profile_quality {
    uint64_t samples_taken;          /* samples in the profile */
    uint64_t samples_lost;           /* taken by the kernel but not delivered */
    uint64_t stacks_whole;           /* stacks that reach their thread's root */
    struct profile_count *truncated; /* owned by the profile: why the others do not, by reason */
    size_t n_truncated;
    uint64_t frames;             /* frames over all samples */
    uint64_t frames_unnamed;     /* of them without a name */
    uint64_t frames_approximate; /* of them found by frame pointer only */
    uint64_t self_cpu_ns;        /* CPU time of scry itself, in user space and for system calls */
    uint64_t self_rss_bytes;     /* peak resident set of scry, without the maps */
    uint64_t self_map_bytes;     /* kernel memory of its BPF maps */
    uint64_t probe_ns;           /* time spent in the target's context: BPF programs, or stops */
    uint64_t probe_runs;
    double slowdown_bound; /* upper bound on the target's slowdown, as a fraction; < 0 when unknown */
    string_id *notes;      /* owned by the profile: sentences for a person */
    size_t n_notes;
};

struct profile_sample {
    stack_id stack;
    thread_id thread;
    labels_id labels;
    uint64_t time_ns; /* since profile.start_ns */
};

struct profile {
    struct profile_value_type value_types[PROFILE_MAX_VALUE_TYPES];
    unsigned n_value_types;
    unsigned default_value; /* the value type shown first */

    string_id command; /* what was captured, for titles */
    string_id host;
    uint64_t start_time_ns; /* since the epoch */
    uint64_t duration_ns;
    uint64_t period_ns; /* mean sampling period, 0 when not sampled by time */

    const char **strings;
    uint32_t *string_lengths;
    struct profile_function *functions;
    struct profile_mapping *mappings;
    struct profile_frame *frames;
    struct profile_stack *stacks;
    struct profile_thread *threads;
    struct profile_label *labels; /* flat; label sets are ranges of it */
    struct profile_labels_range {
        uint32_t first, count;
    } * label_sets;
    size_t n_strings, n_functions, n_mappings, n_frames, n_stacks, n_threads, n_labels, n_label_sets;

    struct profile_sample *samples;
    int64_t *values; /* n_samples rows of n_value_types */
    size_t n_samples;

    struct profile_quality quality;
    bool profile_failed; /* memory ran out at some point: the profile is incomplete */
    bool text_full;      /* so did what profile_limit_text() allows */

    struct profile_private *priv;
};

/* NULL when memory is out. Released by profile_free(). */
struct profile *profile_new(void) _must_check_;
void profile_free(struct profile *p);
DEFINE_CLEANUP(struct profile, profile_free)

/* Strings need not be valid UTF-8; writers replace what their format forbids. */
string_id profile_string(struct profile *p, const char *s);
string_id profile_string_n(struct profile *p, const char *s, size_t n);
static inline const char *profile_str(const struct profile *p, string_id id) {
    return p->strings[id];
}

/* Strings take about so many bytes at most (0: without limit): where they come from a target it decides how many there
 * are, and how long. Beyond, whatever is new is "[too many names]", and `text_full` is set. */
void profile_limit_text(struct profile *p, size_t bytes);

function_id profile_function(struct profile *p, const struct profile_function *f);
mapping_id profile_mapping(struct profile *p, const struct profile_mapping *m);
frame_id profile_frame(struct profile *p, const struct profile_frame *f);
stack_id profile_stack(struct profile *p, stack_id parent, frame_id frame);
thread_id profile_thread(struct profile *p, const struct profile_thread *t);
/* What is called so from now on was found out late. */
void profile_rename_thread(struct profile *p, thread_id id, string_id name);
/* A set of at most PROFILE_MAX_LABELS labels; the rest is dropped and noted. */
labels_id profile_labels(struct profile *p, const struct profile_label *labels, size_t n);

/* Returns the index of the value type. At most PROFILE_MAX_VALUE_TYPES; call before adding samples. */
unsigned profile_value_type(struct profile *p, const char *type, const char *unit);
/* `values` has n_value_types entries. */
void profile_add_sample(struct profile *p, const struct profile_sample *s, const int64_t *values);

void profile_count_truncated(struct profile *p, const char *reason, uint64_t count);
/* For who reads the quality from a file, which may say what cannot be: no part is more than its whole, and a slowdown
 * that is no fraction is unknown. */
void profile_check_quality(struct profile *p);
/* Adds a sentence once; repeated notes are dropped. */
void profile_note(struct profile *p, const char *fmt, ...) _printf_(2, 3);
/* How the note begins that says why there is not one sample. */
#define PROFILE_NOTHING_RAN "Nothing ran: "
bool profile_says_why_nothing_ran(const struct profile *p);

/* Value v of sample i. */
static inline int64_t profile_value(const struct profile *p, size_t i, unsigned v) {
    return p->values[i * p->n_value_types + v];
}

/* Adds up values, which may come from hostile files: what would overflow stays at the end of the range. */
static inline int64_t profile_sum(int64_t a, int64_t b) {
    int64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? (a < 0 ? INT64_MIN : INT64_MAX) : sum;
}

/* Adds everything of `from` to `into`; sample times are shifted to `into`'s start. Value types must
 * agree in number and name. 0, -EINVAL or -ENOMEM. */
int profile_merge(struct profile *into, const struct profile *from, struct err *err);

/* How a profile is shown. */
struct profile_view_options {
    bool internal; /* with its FRAME_INTERNAL frames, which are left out otherwise */
    bool threads;  /* every stack begins with a frame of kind "thread" that names its thread */
};

/* Zero-initialise, fill by profile_view(), release by profile_view_free(). */
struct profile_view {
    const struct profile *p; /* what to show: the copy, or the profile that was given when it is what was asked for */
    struct profile *copy;
};

/* 0 or -ENOMEM. The profile that is given must outlive the view. */
int profile_view(const struct profile *p, struct profile_view_options o, struct profile_view *ret, struct err *err);
void profile_view_free(struct profile_view *v);
