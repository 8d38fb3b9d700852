/* The unwind tables' layout in memory, shared by the walk (BPF and user space) and their builder.
 * May use: unwind/walk.h.
 * Must not: allocate; the builder is unwind/tables.c.
 *
 * Table memory is a set of chunks of TABLE_CHUNK_BYTES. In BPF each chunk is the one value of an
 * inner array of an array-of-maps, so that it is read with plain loads; user space maps the same
 * pages and writes them directly. Three kinds of records live in chunks, each chunk holding one kind:
 *
 *   rows      u32: offset in a page << TABLE_RULE_BITS | rule index, sorted. 4 bytes per row.
 *   pages     struct table_page: for each 8 KiB of a file's code, where its rows are. Small pages keep
 *             the bisection short: its steps miss the cache, and that is what a walk costs.
 *             The first row of a page carries the rule in force at the page's start.
 *   mappings  struct table_mapping, sorted by address: one list per process.
 *
 * A reference to a record is u32: chunk number times records per chunk, plus index. Rules are few and
 * shared by all files; they live in one table of their own. */
#pragma once

#include "unwind/walk.h"

enum {
    TABLE_CHUNK_BYTES = 256 * 1024,
    TABLE_MAX_CHUNKS = 1024,
    TABLE_ROWS_PER_CHUNK = TABLE_CHUNK_BYTES / 4,
    TABLE_PAGES_PER_CHUNK = TABLE_CHUNK_BYTES / 8,
    TABLE_MAPPINGS_PER_CHUNK = TABLE_CHUNK_BYTES / 32,
    TABLE_PAGE_SHIFT = 13, /* 8 KiB of code */
    TABLE_RULE_BITS = 32 - TABLE_PAGE_SHIFT,
    TABLE_MAX_ROWS = 1 << TABLE_PAGE_SHIFT, /* of one page */
    TABLE_MAX_RULES = 32768,
    TABLE_MAX_MAPPINGS = TABLE_MAPPINGS_PER_CHUNK, /* executable mappings of one process */
};

struct table_page {
    u32 rows_at; /* reference to the first row */
    u32 n_rows;  /* 0 = no information for this page */
};
enum { TABLE_PAGE_LATER = TABLE_MAX_ROWS * 2 };         /* as n_rows: not filled yet; nobody has so many */
typedef u64 __attribute__((may_alias)) table_page_word; /* it may be filled while a walk looks: in one go */
_Static_assert(sizeof(struct table_page) == sizeof(table_page_word), "the whole of it");

enum table_mapping_flags {
    TABLE_MAPPING_LOADED = 1,    /* `pages_at` is valid */
    TABLE_MAPPING_NO_TABLE = 2,  /* the file has no unwind information: frame pointers only */
    TABLE_MAPPING_ANONYMOUS = 4, /* no file: generated code */
};

struct table_mapping {
    u64 start, end; /* addresses in the target, [start, end) */
    u64 bias;       /* address in the target - address in the file (p_vaddr) */
    u32 pages_at;   /* reference to the table_page that covers `start - bias` */
    u32 flags;      /* enum table_mapping_flags */
};
_Static_assert(sizeof(struct table_mapping) == 32, "records must tile a chunk");

/* How to get from a frame to its caller. Register numbers are DWARF's (x86-64: 3 rbx, 6 rbp, 7 rsp,
 * 12-15 r12-r15, 16 the return address). */
enum rule_kind {
    RULE_NONE = 0,  /* no information here: use the frame pointer, marked approximate */
    RULE_CFA_REG,   /* CFA = cfa_reg + cfa_offset */
    RULE_CFA_DEREF, /* CFA = *(cfa_reg + cfa_offset) + cfa_add */
    RULE_CFA_PLT,   /* CFA = rsp + 8 + ((rip & 15) >= cfa_offset ? 8 : 0): lazy binding stubs */
    RULE_SIGNAL,    /* signal trampoline: every register is in the ucontext at rsp */
    RULE_ROOT,      /* the return address is undefined: nothing called this */
};

enum { RULE_SAVED = 6, RULE_NOT_SAVED = -32768 };

/* rule_saved_register[i] is the register that saved[i] speaks of. */
#define RULE_SAVED_REGISTERS                                                                                           \
    { 3 /* rbx */, 6 /* rbp */, 12, 13, 14, 15 }

enum rule_flags {
    RULE_SAVED_FROM_RBP = 1, /* saved[] offsets count from the present rbp, not from the CFA */
    RULE_RA_IN_REGISTER = 2, /* the return address is in register ra_reg, not at CFA - 8 */
    RULE_ENDS_IF_NEW = 4,    /* both a thread and the one it makes come here; the new one's stack begins here */
};

_Static_assert(TABLE_MAX_RULES <= 1 << 16, "see struct walk_known");
_Static_assert((u64)TABLE_MAX_CHUNKS *TABLE_MAPPINGS_PER_CHUNK <= 1ull << (48 - WALK_EPOCH_BITS), "the same");
struct unwind_rule {
    u8 kind; /* enum rule_kind */
    u8 cfa_reg;
    u8 flags;  /* enum rule_flags */
    u8 ra_reg; /* with RULE_RA_IN_REGISTER */
    s32 cfa_offset;
    s16 cfa_add;
    s16 ra_offset;         /* the return address is at CFA + ra_offset; -8 almost always */
    s16 saved[RULE_SAVED]; /* in units of 8 bytes; RULE_NOT_SAVED = the caller's value is still there */
};
_Static_assert(sizeof(struct unwind_rule) == 24, "shared with BPF");

/* What a walk needs to know of a process; the value of the BPF map keyed by process id. */
enum { LANG_CONFIG_BYTES = 256 };
struct table_process {
    u32 mappings_at; /* reference to the first table_mapping */
    u32 n_mappings;
    u32 langs;                    /* bit i: lang id i has a config */
    u32 pad;                      /* the config holds 64-bit values */
    u8 config[LANG_CONFIG_BYTES]; /* of the one runtime that is walked from its own frame list */
};
