/* The state of reading a pprof file, for the files that read it. Private to format/.
 * May use: base/, model/.
 * Must not: be included by others than pprof_read.c and pprof_comments.c. */
#pragma once

#include "base/hash.h"
#include "base/reader.h"
#include "model/profile.h"

enum wire_type { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

struct slice {
    const uint8_t *data;
    size_t size;
};

struct slices {
    struct slice *all;
    size_t count, capacity;
};

struct read_function {
    uint64_t id; /* as the file numbers it */
    function_id function;
    string_id kind;
    uint32_t flags;
};

struct pprof_reader {
    struct profile *p;
    const uint8_t *start; /* of the plain bytes, for messages */
    size_t size;
    size_t frames_left; /* how many frames stacks may still have */
    struct slices strings, samples, mappings, locations, functions, sample_types;
    struct slice period_type;
    struct u64_map mapping_ids, function_ids, location_ids; /* to ours, an index of read_functions, a slice */
    string_id *string_ids;                                  /* interned at first use; 0 = not yet */
    struct read_function *read_functions;
    uint64_t *comments;
    size_t n_comments, cap_comments;
    uint64_t default_type, period;
    bool functions_checked;
    bool kinds_known; /* the comments tell kinds and flags, and speak of this file's numbers */
    bool bad, nomem;  /* the first ends with a sentence in err */
    struct err *err;
};

struct field {
    unsigned number, wire;
    uint64_t value;     /* of a number */
    struct slice bytes; /* of text and messages */
};

/* The next field of a message; false at its end and when it is malformed, which marks the reader as bad. */
bool pprof_next_field(struct pprof_reader *r, struct reader *in, struct field *ret);

/* Marks the reader as bad; the first sentence stays. */
void pprof_bad(struct pprof_reader *r, const char *fmt, ...) _printf_(2, 3);

static inline struct reader reader_of_slice(struct slice s) {
    return reader_of(s.data, s.data ? s.size : 0);
}

/* What scry's writer keeps in comments; other comments are passed over. Never makes the reader bad. */
void pprof_read_comment(struct pprof_reader *r, const char *text);

/* The kind of a frame that nobody told, by its mapping and its file. */
string_id pprof_guess_kind(struct pprof_reader *r, function_id function, mapping_id mapping);
