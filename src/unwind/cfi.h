/* Call-frame information compiled to rows: `.eh_frame` / `.debug_frame` → (address, rule).
 * May use: base/, symbol/, unwind/table.h.
 * Must not: trust a byte of it; know processes. Addresses are the file's own.
 *
 * Formats: DWARF 5 §6.4 (call frame information); LSB 5 §10.6 (.eh_frame, augmentations "zRPLSB");
 * System V ABI AMD64 (register numbers). */
#pragma once

#include "base/err.h"
#include "symbol/symbol.h"
#include "unwind/table.h"

enum { CFI_ADDRESS_BITS = 46, CFI_RULE_BITS = 64 - CFI_ADDRESS_BITS };

/* 8 bytes: a large file has millions. No file's code lies higher. */
struct cfi_row {
    u64 address : CFI_ADDRESS_BITS; /* the rule holds from here to the next row */
    u64 rule : CFI_RULE_BITS;       /* index into rules */
};
_Static_assert(sizeof(struct cfi_row) == 8, "packed");

enum { CFI_RECENT_RULES = 256 };

/* Owned by the caller; zero-initialise, release with cfi_rows_free(). Rows are sorted by address; rules
 * are distinct; rule 0 is RULE_NONE. */
struct cfi_rows {
    struct cfi_row *rows;
    size_t count, capacity;
    struct unwind_rule *rules;
    size_t n_rules, cap_rules;
    struct hash_index *rule_index; /* this and the next: internal */
    u16 recent[CFI_RECENT_RULES];  /* by hash: indices of rules, to be compared before the index is asked */
    struct cfi_statistics {
        u64 functions;     /* FDEs compiled */
        u64 broken;        /* FDEs left out: malformed or overlapping */
        u64 inexpressible; /* rows whose rule this format cannot say; they became RULE_NONE */
    } statistics;
};

void cfi_rows_free(struct cfi_rows *rows);

/* One section of call-frame information. */
struct cfi_section {
    const void *data;
    size_t size;
    u64 address;   /* where it is mapped, for pc-relative pointers */
    bool eh_frame; /* else .debug_frame */
    /* Where code is, in .debug_frame: entries elsewhere belong to functions that the linker left out. Both 0
     * = anywhere. */
    u64 code_start, code_end;
};

/* Appends the rows of a section. -ENOMEM, or -EBADMSG when nothing of it could be read. Malformed
 * entries are skipped and counted. Work and memory are linear in the section's size. */
int cfi_compile(const struct cfi_section *section, struct cfi_rows *ret, struct err *err);

/* The same for the entries at the given offsets of the section, which need not be in order. 0 or -ENOMEM; where
 * nothing can be read there are no rows. */
int cfi_compile_some(const struct cfi_section *section, const u64 *offsets, size_t n, struct cfi_rows *ret);

/* The whole file: .eh_frame; .debug_frame, of the file or its debug file, for what .eh_frame leaves out; and
 * linkage stubs and system calls that have neither. */
int cfi_compile_file(struct symbol_file *f, struct cfi_rows *ret, struct err *err);

/* A stretch of code of a file: exactly the rows of cfi_compile_file() for the addresses [start, end), found by the
 * index that linkers make for those who throw exceptions (.eh_frame_hdr). Rows outside are not to be believed, but
 * that the last before `start` holds there. Asked for a file of which cfi_has_index() was true. 0 or -ENOMEM. */
int cfi_compile_part(struct symbol_file *f, u64 start, u64 end, struct cfi_rows *ret);
/* Whether that index is there and speaks for all that the file has. */
bool cfi_has_index(struct symbol_file *f);
/* How many functions it tells of; 0 without it. Cheap. */
size_t cfi_indexed(struct symbol_file *f);

/* Adds a rule to rows->rules and returns its index; 0 when memory is out, or there are too many. Private to unwind/. */
u32 cfi_rule(struct cfi_rows *rows, const struct unwind_rule *rule);
int cfi_add_row(struct cfi_rows *rows, u64 address, u32 rule);
/* Adds the rules of linkage stubs that have none, of those sections that reach into [start, end). 0 or -ENOMEM.
 * Private too. */
int cfi_add_stubs(struct symbol_file *f, u64 start, u64 end, struct cfi_rows *rows);
/* Adds the rule of the dynamic linker's entry, which has none. 0 or -ENOMEM. Private too. */
int cfi_add_entry(struct symbol_file *f, struct cfi_rows *rows);
/* Adds the rules of stubs that make threads, which end their information before that moment. Private too. */
void cfi_add_thread_makers(struct symbol_file *f, struct cfi_rows *rows);
enum { CFI_MAKER_BYTES = 32 }; /* from the system call to the new thread's code, at most */
/* Where the sections of linkage stubs lie that reach into [*start, *end): makes that so long that it holds them. */
void cfi_widen_to_stubs(struct symbol_file *f, u64 *start, u64 *end);
