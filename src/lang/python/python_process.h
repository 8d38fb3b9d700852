/* What the Python runtime's files share about one process. Private to lang/python.
 * May use: lang/lang.h.
 * Must not: be included from elsewhere. */
#pragma once

#include "lang/lang.h"
#include "lang/python/python_offsets.h"

enum { PYTHON_MAX_RANGES = 8 };

struct address_range {
    u64 start, end;
};

struct python_code; /* python_names.c: what is known of a code object */

struct lang_process {
    struct target *target; /* borrowed */
    struct python_offsets offsets;
    struct python_config config;
    char version[64];
    struct address_range own[PYTHON_MAX_RANGES]; /* code of the file that holds the interpreter */
    unsigned n_own;
    struct address_range eval[2]; /* the eval loop and its cold part: only ≤ 3.9 needs them */
    unsigned n_eval;
    /* names */
    struct profile *profile; /* the caches below belong to it */
    string_id kind;
    struct u64_map code_index; /* hash of (code object, first line) → index into codes */
    struct python_code *codes;
    size_t n_codes, cap_codes;
    struct u64_map frames; /* hash of (code index, offset) → frame_id */
};

u32 python_merge(const struct lang_process *lp, const struct lang_streams *in, struct lang_merged *ret);
frame_id python_name_frame(struct lang_process *lp, struct profile *p, const struct raw_frame *f);
void python_names_free(struct lang_process *lp);
bool python_is_internal(const struct lang_process *lp, u64 address, const char *symbol);
