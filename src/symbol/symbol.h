/* Addresses to names and lines: ELF symbols, DWARF lines with inlined calls, kernel symbols, perf
 * maps, demangling.
 * May use: base/, target/.
 * Must not: know a profile; load what nobody asked for. Every byte of a file is hostile.
 *
 * All strings returned live as long as the object they came from. */
#pragma once

#include "base/err.h"
#include "target/target.h"

/* One level of a (possibly inlined) call chain at an address. */
struct symbol_location {
    const char *name;        /* demangled; "" when unknown */
    const char *system_name; /* as in the symbol table */
    const char *file;        /* source path, "" when unknown */
    uint32_t line, column;   /* 0 when unknown */
    uint32_t start_line;     /* of the function's declaration, 0 when unknown */
    bool inlined;            /* inlined into the next location */
};

enum { SYMBOL_MAX_INLINES = 256 };

/* ---- one ELF file ---- */

struct symbol_file;

/* Where separate debug files may be. All members may be NULL. */
struct symbol_search {
    const char *debug_root; /* default "/usr/lib/debug" */
    struct target *target;  /* look inside this target's root as well, and first */
};

/* Takes over `fd`. `path` is for messages and for debuglink. Cheap: reads headers only. */
int symbol_file_open(int fd, const char *path, const struct symbol_search *search, struct symbol_file **ret,
                     struct err *err) _must_check_;
void symbol_file_close(struct symbol_file *f);
DEFINE_CLEANUP(struct symbol_file, symbol_file_close)

/* Gives the file's pages back to the system; they return when they are touched again. Call it after a
 * pass over much of the file. Sections that were decompressed go: their pointers end. */
void symbol_file_release_pages(struct symbol_file *f);

/* About how many bytes the look-ups so far have left in memory, for those to come; and, among them, how many are
 * soon had again. */
size_t symbol_file_held(struct symbol_file *f, size_t *ret_loose);
/* Gives the latter back, or all: then strings that were returned end, and the next look-up loads anew what it needs. */
void symbol_file_forget(struct symbol_file *f, bool all);

/* Lower-case hexadecimal, "" when the file has none. */
const char *symbol_file_build_id(struct symbol_file *f);
/* Translates an offset in the file to the file's own address (p_vaddr). -ENOENT outside segments. */
int symbol_file_offset_to_address(struct symbol_file *f, uint64_t offset, uint64_t *ret);
/* Bias = address in target - p_vaddr for a mapping of this file. Pass one of code where there is one: -ENOENT
 * for one that two segments of data may have made, as for one that none did. */
int symbol_file_bias(struct symbol_file *f, const struct target_mapping *m, uint64_t *ret);

/* Where executable segments are: addresses [start, end), and `start`'s offset in the file. Of whole pages. `entry` is the
 * first instruction of a program, or of the dynamic linker. */
struct symbol_code {
    uint64_t start, end, offset, entry;
};
/* -ENOENT when there are none. */
int symbol_file_code(struct symbol_file *f, struct symbol_code *ret);

/* Section by name; *ret points into the mapped file. -ENOENT when absent, -EBADMSG when broken.
 * Compressed sections (SHF_COMPRESSED) are decompressed once and owned by the file. */
struct symbol_section {
    const void *data; /* NULL for SHT_NOBITS */
    size_t size;
    uint64_t address;
};
int symbol_file_section(struct symbol_file *f, const char *name, struct symbol_section *ret);
/* A section of debug information, of the file itself or, where it has none, of its separate debug file. */
int symbol_file_debug_section(struct symbol_file *f, const char *name, struct symbol_section *ret);

/* The function that covers `address` (in the file's own addresses): inlined calls innermost first,
 * the function itself last. Returns how many, at most `max`; 0 when nothing is known.
 * Pass the address of the instruction itself: for a return address, one byte before. */
size_t symbol_file_lookup(struct symbol_file *f, uint64_t address, struct symbol_location *ret, size_t max);

/* Begins to load what look-ups need, in a thread of its own: the first one waits for it. For names that will
 * surely be asked for, while there is something else to do. The file itself stays as usable as it was. */
void symbol_file_prepare(struct symbol_file *f);

/* Says that of a file that is being prepared only these addresses, which are sorted, will be looked up, so that it need
 * not be read further than that takes. Others may be, and take their time. Once; later ones change nothing. */
void symbol_file_expect(struct symbol_file *f, const uint64_t *addresses, size_t n);

/* A symbol by its exact name in .symtab/.dynsym/MiniDebugInfo. -ENOENT. */
struct symbol_range {
    uint64_t address, size;
};
int symbol_file_find(struct symbol_file *f, const char *name, struct symbol_range *ret);
/* The same among exported symbols only (.dynsym): a hashed look-up, cheap enough to ask of every file. */
int symbol_file_find_exported(struct symbol_file *f, const char *name, struct symbol_range *ret);
/* Whether this is a program, not a library. */
bool symbol_file_is_executable(struct symbol_file *f);
/* Offset of a thread-local symbol inside the module's TLS block, and the block's size and
 * alignment. -ENOENT. */
struct symbol_tls {
    uint64_t offset, block_size, block_align;
};
int symbol_file_find_tls(struct symbol_file *f, const char *name, struct symbol_tls *ret);

/* ---- the kernel ---- */

struct symbol_kernel;
/* -EPERM (with advice about kptr_restrict) when addresses are hidden. */
int symbol_kernel_open(struct symbol_kernel **ret, struct err *err) _must_check_;
void symbol_kernel_close(struct symbol_kernel *k);
DEFINE_CLEANUP(struct symbol_kernel, symbol_kernel_close)
/* Reads the names, which the first look-up does otherwise: some 50 ms. What memory does not hold has no name. */
void symbol_kernel_read(struct symbol_kernel *k);
/* Name of the function at an address, "" when unknown; *ret_module is "" for the kernel itself. */
const char *symbol_kernel_lookup(struct symbol_kernel *k, uint64_t address, const char **ret_module);

/* ---- perf maps: /tmp/perf-PID.map, written by just-in-time compilers ---- */

struct symbol_perf_map;
/* What the maps of all processes hold together, for no process is alone: whoever opens them has it, and sets `limit`.
 * It must outlive them. */
struct symbol_perf_maps {
    size_t limit, held; /* bytes */
    uint64_t left_out;  /* lines that did not fit: their code has no name */
};
/* Opens the map of a target through its own root; -ENOENT when it writes none, -ESTALE when there is one that may be
 * another process's. */
int symbol_perf_map_open(struct target *t, struct symbol_perf_maps *all, struct symbol_perf_map **ret) _must_check_;
void symbol_perf_map_close(struct symbol_perf_map *m);
DEFINE_CLEANUP(struct symbol_perf_map, symbol_perf_map_close)
/* Re-reads what was appended; later entries replace earlier ones. Name or "". */
const char *symbol_perf_map_lookup(struct symbol_perf_map *m, uint64_t address);

/* ---- demangling ---- */

/* C++ (Itanium), Rust (legacy and v0), D. Returns a malloc'ed name, or NULL when it is not mangled. */
char *symbol_demangle(const char *name);
