/* What the files of symbol/ share.
 * May use: base/, symbol/symbol.h, <elf.h>.
 * Must not: be included from other rooms. */
#pragma once

#include <elf.h>
#include <stdatomic.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/hash.h"
#include "symbol/symbol.h"

/* ---- ELF images ---- */

enum { BUILD_ID_TEXT = 2 * 64 + 1 };

/* An ELF-64 little-endian image in memory. The headers are copies that nobody can change behind our
 * back; the contents stay in the mapping. A mapped file may be cut short while it is read: its pages
 * then read as zeros (see mapping.c). Contents are therefore read as one reads a hostile file: copy,
 * then check, and never trust that a string ends where it did a moment ago, only that it ends. */
struct elf_image {
    const uint8_t *data; /* mapped or owned */
    struct elf_origin {
        uint64_t device, inode, modified_ns, changed_ns;
    } origin; /* the file that is mapped; zeros when it is owned */
    size_t size;
    bool owned;     /* malloc'ed, else mmap'ed */
    uint16_t type;  /* ET_EXEC, ET_DYN, … */
    uint64_t entry; /* address of the entry point, 0 when there is none */
    Elf64_Phdr *segments;
    size_t n_segments;
    Elf64_Shdr *sections;
    size_t n_sections;
    char *section_names; /* ends with a NUL */
    size_t section_names_size;
};

/* Maps a file. -ENOEXEC when it is not such an ELF file. The image must be closed; `fd` stays the caller's. */
int elf_image_map(int fd, struct elf_image *ret);
/* Takes over malloc'ed bytes, also on failure. */
int elf_image_of(void *bytes, size_t size, struct elf_image *ret);
void elf_image_close(struct elf_image *e);
void elf_image_release_pages(const struct elf_image *e);
/* NULL when there is none of that name or type. */
const Elf64_Shdr *elf_image_section(const struct elf_image *e, const char *name);
const Elf64_Shdr *elf_image_section_type(const struct elf_image *e, uint32_t type);
/* The bytes of a section; NULL when it has none or lies outside the file. */
const uint8_t *elf_image_bytes(const struct elf_image *e, const Elf64_Shdr *s, size_t *ret_size);
/* Lower-case hexadecimal, "" when there is none. */
void elf_image_build_id(const struct elf_image *e, char ret[BUILD_ID_TEXT]);

/* Maps a regular file whole and read-only, guarded against its being cut short. 0 or negative errno. */
int mapping_open(int fd, const uint8_t **ret, size_t *ret_size, struct elf_origin *ret_origin);
void mapping_close(const uint8_t *data, size_t size);

/* ---- decompression; *ret is malloc'ed. -EBADMSG broken or implausible, -EFBIG over the limit, -ENOMEM ---- */

/* The compressed bytes of a section: with SHF_COMPRESSED, or of old, when its name begins with ".zdebug". */
struct packed {
    uint32_t how;
    const uint8_t *bytes;
    size_t size, plain; /* as it is, and as it claims to become */
};
/* Reads what a compressed section says of itself. -EBADMSG broken or implausible, -EFBIG over the limit, which is 1 GB at
 * the most. */
int packed_of(const struct elf_image *e, const Elf64_Shdr *s, bool old, size_t limit, struct packed *ret);
/* What is packed, from its beginning on, in parts. -EBADMSG when it is packed in a way that is not known, -ENOMEM. */
struct packed_stream;
int packed_stream_open(const struct packed *p, struct packed_stream **ret);
void packed_stream_close(struct packed_stream *s); /* NULL does nothing */
/* Writes the next `n` bytes, at most 1 GB; false when it is broken, or there are no more. */
bool packed_stream_read(struct packed_stream *s, void *to, size_t n);
/* Whether what was read was all, and unharmed. */
bool packed_stream_ended(struct packed_stream *s);
int inflate_section(const struct elf_image *e, const Elf64_Shdr *s, bool old, size_t limit, void **ret,
                    size_t *ret_size);
int inflate_xz(const uint8_t *bytes, size_t size, size_t limit, void **ret, size_t *ret_size);

/* ---- symbols of a few images, sorted by address ---- */

enum { SYMBOL_SOURCES = 4, SYMBOL_SOURCE_SHIFT = 30 };

/* 16 bytes each: a binary of gigabytes has a million. */
struct symbol_entry {
    uint64_t address;
    uint32_t size;
    uint32_t name; /* source << 30 | offset into its strings */
};

struct symbol_list {
    struct symbol_entry *all;
    size_t count, capacity;
    struct {
        const char *bytes; /* in an image, or `stubs` */
        size_t size;
    } sources[SYMBOL_SOURCES];
    unsigned n_sources;
    char *stub_names; /* owned */
};

/* Collects the functions of the given images and the linkage stubs of the first, which is the file itself.
 * The images must outlive the list. 0 or -ENOMEM. */
int symbol_list_build(struct symbol_list *list, const struct elf_image *const *images, size_t n);
void symbol_list_free(struct symbol_list *list);
const struct symbol_entry *symbol_list_find(const struct symbol_list *list, uint64_t address);
/* Copies the name, cut at the size; "" when it is broken. */
void symbol_list_name(const struct symbol_list *list, const struct symbol_entry *s, char *ret, size_t size);

/* Exact name in the hash table of .dynsym, else in .symtab. */
int elf_image_find(const struct elf_image *e, const char *name, Elf64_Sym *ret);
int elf_image_find_exported(const struct elf_image *e, const char *name, Elf64_Sym *ret);

/* ---- DWARF ---- */

bool elf_image_has_dwarf(const struct elf_image *e);

struct dwarf_file;
struct dwo_search;
/* -ENOENT when there is no debug information, -EBADMSG when it is broken. `alt` is what dwz moved out of
 * `image`, or NULL. `split` says where split units are. All must outlive the result. */
int dwarf_file_open(const struct elf_image *image, const struct elf_image *alt, const struct dwo_search *split,
                    struct dwarf_file **ret);
void dwarf_file_close(struct dwarf_file *d);
/* Whether its first unit is of a language whose symbols are no more than names: most others are, then. */
bool dwarf_file_begins_plain(struct dwarf_file *d);
/* About how many bytes it holds besides libdw's, and how many those are. */
size_t dwarf_file_held(const struct dwarf_file *d, size_t *ret_libdw);
/* Gives libdw's back: what was made of it stays, and it is opened again by the next look-up. */
void dwarf_file_rest(struct dwarf_file *d);
/* Like symbol_file_lookup(); strings live as long as `names`. *ret_plain tells whether functions of that language have
 * symbols that are no more than their names, as those of C. */
struct symbol_names;
size_t dwarf_file_lookup(struct dwarf_file *d, struct symbol_names *names, uint64_t address,
                         struct symbol_location *ret, size_t max, bool *ret_plain);

/* What will be looked up in a file, once that is known: nothing else. */
struct dwarf_wanted {
    const uint64_t *addresses; /* sorted; they stay as they are from then on */
    size_t count;
    atomic_bool known;
};
/* What became of compressed debug sections: an image of those that a look-up needs. */
struct dwarf_plain {
    struct elf_image image;
    bool partial; /* .debug_info ends early, behind a unit: an address that is not found may be of another one */
};
/* Decompresses them, or finds them kept from when they were (unpacked.h). `wanted` may become known meanwhile: then no
 * more of .debug_info is decompressed than that takes; with NULL all of it is. `whole`: less of it is not enough, even if
 * that is kept. -ENOENT when nothing is compressed; -EFBIG, -EBADMSG, -ENOMEM. */
int dwarf_inflate(const struct elf_image *e, const struct dwarf_wanted *wanted, bool whole, struct dwarf_plain *ret);

/* An image of such sections alone, copied; its header is like that of `e`. -EFBIG, -ENOMEM, or -ENOEXEC when `e` was
 * cut short. */
struct dwarf_image_part {
    const char *name;
    const uint8_t *bytes;
    size_t size;
};
int dwarf_image_of(const struct elf_image *e, const struct dwarf_image_part *parts, size_t n, struct elf_image *ret);
/* A debug section by its name, or by the name that it had of old when it was compressed (".zdebug_…"). */
const Elf64_Shdr *elf_image_debug_section(const struct elf_image *e, const char *name, bool *ret_old);

/* ---- names, each kept and demangled once ---- */

struct symbol_name {
    const char *plain, *demangled;
};
struct symbol_names {
    struct arena arena;
    struct hash_index index;
    struct symbol_name *all;
    size_t count, capacity;
};
/* Never NULL members; "" when memory is out. */
struct symbol_name symbol_names_get(struct symbol_names *n, const char *name);
/* The same for text that is no symbol, such as a path: never demangled. */
const char *symbol_names_text(struct symbol_names *n, const char *text);
void symbol_names_free(struct symbol_names *n);

/* ---- separate debug files ---- */

/* What may be the debug file of an image; checking it may mean reading it whole, so that waits. */
struct debug_candidate {
    struct elf_image image;
    char *path;
    bool by_link; /* to be checked against the checksum */
};
enum { DEBUG_CANDIDATES = 8 };
struct debug_candidates {
    struct debug_candidate all[DEBUG_CANDIDATES];
    size_t count;
};

/* Opens what the build id and .gnu_debuglink of `e` point to, in the root of `t`, or in ours when NULL. */
void debug_candidates_add(struct debug_candidates *c, const char *debug_root, struct target *t,
                          const struct elf_image *e, const char *path);
/* The same for the file that dwz moved common parts of `e` to (.gnu_debugaltlink). */
void debug_candidates_add_alt(struct debug_candidates *c, const char *debug_root, struct target *t,
                              const struct elf_image *e, const char *path);
/* Hands the first over that proves right for `e`, or returns -ENOENT. Closes all others. */
int debug_candidates_choose(struct debug_candidates *c, const struct elf_image *e, struct debug_candidate *ret);
void debug_candidate_close(struct debug_candidate *c);
void debug_candidates_close(struct debug_candidates *c);

/* ---- for tests: the same from elsewhere ---- */

int symbol_kernel_open_path(const char *path, struct symbol_kernel **ret, struct err *err) _must_check_;
/* Takes over `fd`, also on failure. */
int symbol_perf_map_open_fd(int fd, struct symbol_perf_maps *all, struct symbol_perf_map **ret) _must_check_;
