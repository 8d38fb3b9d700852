/* One ELF file as the rest of scry sees it: sections, addresses, names. Opening reads the headers; everything
 * else is loaded when it is first asked for. */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "symbol/dwo.h"
#include "symbol/unpacked.h"

enum { MAX_SECTION_BYTES = 128 << 20, MAX_MINI_BYTES = 256 << 20, MAX_SYMBOL_NAME = 64 << 10 };

struct inflated {
    const Elf64_Shdr *section;
    void *bytes;
    size_t size;
};

struct symbol_file {
    char *path;
    char *debug_root;                  /* NULL = the default */
    struct elf_image image;            /* the file itself */
    struct elf_image mini;             /* its MiniDebugInfo */
    struct dwarf_plain plain;          /* debug sections decompressed */
    struct dwarf_wanted wanted;        /* … as far as that is known to be enough, */
    uint64_t *expected;                /* … which is for these addresses */
    struct debug_candidate debug, alt; /* its separate debug file; what dwz moved out of that */
    struct debug_candidates found;     /* in the target's root, when the file was opened */
    struct debug_candidates found_alt;
    bool debug_tried, alt_tried, mini_tried, names_loaded, dwarf_tried;
    pthread_t worker;
    bool preparing;  /* `worker` loads names; until it is joined, only what it does not write may be used, … */
    sem_t has_dwarf; /* … and DWARF once this was posted, and waited for */
    bool dwarf_awaited;
    struct symbol_list symbols;
    struct symbol_names names;
    struct dwarf_file *dwarf;
    struct dwo_search split; /* where its split units may be: in the target's root, which is kept open for it */
    char build_id[BUILD_ID_TEXT];
    struct inflated inflated[16];
    size_t n_inflated;
};

/* ---- opening ---- */

static bool wants_debug_file(const struct symbol_file *f) {
    return !elf_image_has_dwarf(&f->image);
}

/* The target may be gone when names are asked for, so its files are opened now and looked at later. */
static void look_into_target(struct symbol_file *f, struct target *t) {
    bool old;
    if (wants_debug_file(f))
        debug_candidates_add(&f->found, f->debug_root, t, &f->image, f->path);
    const struct elf_image *e = f->found.count ? &f->found.all[0].image : &f->image;
    debug_candidates_add_alt(&f->found_alt, f->debug_root, t, e, f->found.count ? f->found.all[0].path : f->path);
    /* Split units have their addresses in the program. They may be many, of which few are asked for. */
    if (elf_image_debug_section(e, ".debug_addr", &old))
        f->split.root = target_open_root(t);
}

static int open_failed(struct err *err, int rc, const char *path) {
    if (rc == -ENOMEM)
        return err_nomem(err);
    if (rc == -ENOEXEC)
        return err_set(err, rc, NULL, "%s is not a 64-bit ELF file", path);
    return err_set(err, rc, NULL, "Cannot read %s: %s", path, strerror(-rc));
}

int symbol_file_open(int fd, const char *path, const struct symbol_search *search, struct symbol_file **ret,
                     struct err *err) {
    _cleanup_(closep) int owned = fd;
    _cleanup_(symbol_file_closep) struct symbol_file *f = mem_zalloc(1, sizeof(*f));
    if (!f)
        return err_nomem(err);
    f->split.root = -1;
    if (!(f->path = mem_strdup(path)))
        return err_nomem(err);
    if (search && search->debug_root && !(f->debug_root = mem_strdup(search->debug_root)))
        return err_nomem(err);
    int rc = elf_image_map(owned, &f->image);
    if (rc < 0)
        return open_failed(err, rc, path);
    elf_image_build_id(&f->image, f->build_id);
    if (search && search->target)
        look_into_target(f, search->target);
    *ret = TAKE_PTR(f);
    return 0;
}

/* Waits for the thread that loads names, if there is one, until DWARF is there. */
static void await_dwarf(struct symbol_file *f) {
    while (f->preparing && !f->dwarf_awaited)
        f->dwarf_awaited = sem_wait(&f->has_dwarf) == 0; /* else a signal came */
}

/* Waits until it ends. */
static void settle(struct symbol_file *f) {
    if (!f->preparing)
        return;
    pthread_join(f->worker, NULL);
    sem_destroy(&f->has_dwarf);
    f->preparing = f->dwarf_awaited = false;
    free(f->expected);
    f->expected = NULL;
    f->wanted = (struct dwarf_wanted){0};
}

static void forget_dwarf(struct symbol_file *f) {
    dwarf_file_close(f->dwarf);
    f->dwarf = NULL;
    elf_image_close(&f->plain.image);
    f->plain.partial = false;
    f->dwarf_tried = false;
}

static void forget_symbols(struct symbol_file *f) {
    symbol_list_free(&f->symbols);
    symbol_names_free(&f->names);
    elf_image_close(&f->mini);
    f->mini_tried = f->names_loaded = false;
}

void symbol_file_forget(struct symbol_file *f, bool all) {
    settle(f);
    if (f->dwarf && !all) {
        dwarf_file_rest(f->dwarf);
        return;
    }
    forget_dwarf(f);
    forget_symbols(f);
}

size_t symbol_file_held(struct symbol_file *f, size_t *ret_loose) {
    settle(f);
    size_t owned = (f->plain.image.owned ? f->plain.image.size : 0) + (f->mini.owned ? f->mini.size : 0), loose = 0;
    size_t dwarf = f->dwarf ? dwarf_file_held(f->dwarf, &loose) : 0;
    *ret_loose = loose;
    return owned + f->symbols.count * sizeof(*f->symbols.all) + f->names.arena.bytes + dwarf + loose;
}

void symbol_file_close(struct symbol_file *f) {
    if (!f)
        return;
    symbol_file_forget(f, true);
    debug_candidates_close(&f->found);
    debug_candidates_close(&f->found_alt);
    debug_candidate_close(&f->debug);
    debug_candidate_close(&f->alt);
    elf_image_close(&f->image);
    for (size_t i = 0; i < f->n_inflated; i++)
        free(f->inflated[i].bytes);
    if (f->split.root >= 0)
        close(f->split.root);
    free(f->debug_root);
    free(f->path);
    free(f);
}

const char *symbol_file_build_id(struct symbol_file *f) {
    return f->build_id;
}

static void release_images(const struct symbol_file *f) {
    elf_image_release_pages(&f->image);
    elf_image_release_pages(&f->debug.image);
    elf_image_release_pages(&f->alt.image);
}

void symbol_file_release_pages(struct symbol_file *f) {
    release_images(f);
    while (f->n_inflated)
        free(f->inflated[--f->n_inflated].bytes);
}

/* Position-independent programs look like libraries but name an interpreter. */
bool symbol_file_is_executable(struct symbol_file *f) {
    if (f->image.type == ET_EXEC)
        return true;
    for (size_t i = 0; i < f->image.n_segments; i++)
        if (f->image.segments[i].p_type == PT_INTERP)
            return true;
    return false;
}

/* ---- addresses ---- */

static const uint64_t page_mask = ~4095ull;

int symbol_file_offset_to_address(struct symbol_file *f, uint64_t offset, uint64_t *ret) {
    for (size_t i = 0; i < f->image.n_segments; i++) {
        const Elf64_Phdr *p = &f->image.segments[i];
        if (p->p_type == PT_LOAD && offset >= p->p_offset && offset - p->p_offset < p->p_filesz) {
            *ret = p->p_vaddr + (offset - p->p_offset);
            return 0;
        }
    }
    return -ENOENT;
}

/* Between segments the loader leaves what it first mapped for all of them, with no access. */
static bool may_map(const Elf64_Phdr *p, const struct target_mapping *m) {
    return p->p_type == PT_LOAD && m->protection != PROT_NONE && !(p->p_flags & PF_X) == !(m->protection & PROT_EXEC) &&
           m->offset >= (p->p_offset & page_mask) && m->offset < p->p_offset + MAX(p->p_filesz, (uint64_t)1) &&
           (!(m->protection & PROT_WRITE) ||
            (p->p_flags & (PF_W | PF_X))); /* code may be made writable, to be patched */
}

/* A mapping starts at a page boundary, which may lie before its segment. Segments of data may share pages of
 * the file, and one that is made read-only after relocation looks like another that always was. */
int symbol_file_bias(struct symbol_file *f, const struct target_mapping *m, uint64_t *ret) {
    uint64_t bias = 0;
    bool found = false;
    for (size_t i = 0; i < f->image.n_segments; i++) {
        const Elf64_Phdr *p = &f->image.segments[i];
        if (!may_map(p, m))
            continue;
        uint64_t this = m->start - (p->p_vaddr + (m->offset - p->p_offset));
        if (found && this != bias)
            return -ENOENT;
        bias = this;
        found = true;
    }
    if (!found)
        return -ENOENT;
    *ret = bias;
    return 0;
}

int symbol_file_code(struct symbol_file *f, struct symbol_code *ret) {
    struct symbol_code code = {.start = UINT64_MAX};
    for (size_t i = 0; i < f->image.n_segments; i++) {
        const Elf64_Phdr *p = &f->image.segments[i];
        if (p->p_type != PT_LOAD || !(p->p_flags & PF_X) || p->p_vaddr + p->p_memsz < p->p_vaddr)
            continue;
        if ((p->p_vaddr & page_mask) < code.start) {
            code.start = p->p_vaddr & page_mask;
            code.offset = p->p_offset & page_mask;
        }
        code.end = MAX(code.end, (p->p_vaddr + p->p_memsz + 4095) & page_mask);
    }
    if (code.start >= code.end)
        return -ENOENT;
    code.entry = f->image.entry;
    *ret = code;
    return 0;
}

/* ---- sections ---- */

static int compressed_section(struct symbol_file *f, const struct elf_image *e, const Elf64_Shdr *s, bool old,
                              struct symbol_section *ret) {
    for (size_t i = 0; i < f->n_inflated; i++)
        if (f->inflated[i].section == s) {
            ret->data = f->inflated[i].bytes;
            ret->size = f->inflated[i].size;
            return 0;
        }
    if (f->n_inflated == ARRAY_SIZE(f->inflated))
        return -EBADMSG;
    struct inflated *new = &f->inflated[f->n_inflated];
    int rc = inflate_section(e, s, old, MAX_SECTION_BYTES, &new->bytes, &new->size);
    if (rc < 0)
        return rc == -ENOMEM ? rc : -EBADMSG;
    f->n_inflated++;
    new->section = s;
    ret->data = new->bytes;
    ret->size = new->size;
    return 0;
}

static int section_of(struct symbol_file *f, const struct elf_image *e, const char *name, struct symbol_section *ret) {
    const Elf64_Shdr *s = elf_image_section(e, name);
    if (!s)
        return -ENOENT;
    struct symbol_section found = {.size = s->sh_size, .address = s->sh_addr};
    if (s->sh_type != SHT_NOBITS) {
        found.data = elf_image_bytes(e, s, &found.size);
        if (!found.data)
            return -EBADMSG;
    }
    bool old = strncmp(name, ".zdebug", 7) == 0;
    if ((s->sh_flags & SHF_COMPRESSED) && (s->sh_flags & SHF_ALLOC)) /* gABI: never both */
        return -EBADMSG;
    if (found.data && (old || (s->sh_flags & SHF_COMPRESSED))) {
        int rc = compressed_section(f, e, s, old, &found);
        if (rc < 0)
            return rc;
    }
    *ret = found;
    return 0;
}

int symbol_file_section(struct symbol_file *f, const char *name, struct symbol_section *ret) {
    return section_of(f, &f->image, name, ret);
}

/* ---- where the names are ---- */

static void find_debug(struct symbol_file *f) {
    if (f->debug_tried)
        return;
    f->debug_tried = true;
    if (!wants_debug_file(f))
        return;
    if (debug_candidates_choose(&f->found, &f->image, &f->debug) == 0)
        return;
    debug_candidates_add(&f->found, f->debug_root, NULL, &f->image, f->path);
    (void)debug_candidates_choose(&f->found, &f->image, &f->debug); /* -ENOENT: there is none */
}

int symbol_file_debug_section(struct symbol_file *f, const char *name, struct symbol_section *ret) {
    char old[64];
    snprintf(old, sizeof(old), ".z%s", name + 1);
    int rc = section_of(f, &f->image, name, ret);
    if (rc == -ENOENT)
        rc = section_of(f, &f->image, old, ret);
    if (rc != -ENOENT || !f->build_id[0]) /* without one a debug file would have to be read whole to be believed */
        return rc;
    find_debug(f);
    rc = section_of(f, &f->debug.image, name, ret);
    return rc == -ENOENT ? section_of(f, &f->debug.image, old, ret) : rc;
}

/* MiniDebugInfo: an ELF image compressed by xz, with a symbol table of what .dynsym lacks. */
static void load_mini(struct symbol_file *f) {
    size_t size, n;
    void *bytes;
    if (f->mini_tried)
        return;
    f->mini_tried = true;
    const Elf64_Shdr *s = elf_image_section(&f->image, ".gnu_debugdata");
    const uint8_t *packed = s ? elf_image_bytes(&f->image, s, &size) : NULL;
    if (packed && inflate_xz(packed, size, MAX_MINI_BYTES, &bytes, &n) == 0)
        (void)elf_image_of(bytes, n, &f->mini); /* broken: there is none */
}

static void load_names(struct symbol_file *f) {
    const struct elf_image *images[3] = {&f->image};
    size_t n = 1;
    f->names_loaded = true;
    find_debug(f);
    if (!elf_image_section_type(&f->image, SHT_SYMTAB)) {
        if (f->debug.image.data)
            images[n++] = &f->debug.image;
        else
            load_mini(f);
        if (f->mini.data)
            images[n++] = &f->mini;
    }
    if (symbol_list_build(&f->symbols, images, n) < 0)
        symbol_list_free(&f->symbols);
    release_images(f);
}

/* Where the debug information is; it may be that there is none. */
static const struct elf_image *dwarf_of(const struct symbol_file *f) {
    return elf_image_has_dwarf(&f->image) ? &f->image : &f->debug.image;
}

static void find_alt(struct symbol_file *f) {
    const struct elf_image *e = dwarf_of(f);
    const char *path = e == &f->image ? f->path : f->debug.path;
    if (f->alt_tried || !elf_image_has_dwarf(e))
        return;
    f->alt_tried = true;
    if (debug_candidates_choose(&f->found_alt, e, &f->alt) == 0)
        return;
    debug_candidates_add_alt(&f->found_alt, f->debug_root, NULL, e, path);
    (void)debug_candidates_choose(&f->found_alt, e, &f->alt); /* -ENOENT: there is none */
}

/* `whole`: less than all of it was not enough. */
static void load_dwarf(struct symbol_file *f, bool whole) {
    f->dwarf_tried = true;
    find_debug(f);
    find_alt(f);
    const struct elf_image *e = dwarf_of(f);
    if (!elf_image_has_dwarf(e))
        return;
    int rc = dwarf_inflate(e, &f->wanted, whole, &f->plain);
    elf_image_release_pages(e); /* all of it was read */
    if (rc < 0 && rc != -ENOENT)
        return; /* symbols will have to do */
    f->split.paths[0] = f->path;
    f->split.paths[1] = f->debug.path;
    (void)dwarf_file_open(rc == 0 ? &f->plain.image : e, f->alt.image.data ? &f->alt.image : NULL, &f->split,
                          &f->dwarf);
}

/* DWARF takes longest, and is enough where symbols are no more than names. */
static void *prepare(void *file) {
    struct symbol_file *f = file;
    load_dwarf(f, false);
    bool enough = f->dwarf && dwarf_file_begins_plain(f->dwarf);
    sem_post(&f->has_dwarf);
    if (!enough)
        load_names(f);
    return NULL;
}

/* All that the thread shares with those who use the file meanwhile is found before it starts; nobody but it
 * writes to what it loads. */
void symbol_file_prepare(struct symbol_file *f) {
    if (f->preparing || f->names_loaded)
        return;
    find_debug(f);
    find_alt(f);
    if (sem_init(&f->has_dwarf, 0, 0) < 0)
        return;
    f->preparing = pthread_create(&f->worker, NULL, prepare, f) == 0; /* else it is done when it is needed */
    if (!f->preparing)
        sem_destroy(&f->has_dwarf);
}

void symbol_file_expect(struct symbol_file *f, const uint64_t *addresses, size_t n) {
    if (!f->preparing || f->expected)
        return;
    f->expected = mem_alloc(n * sizeof(*addresses));
    if (!f->expected)
        return; /* all of it, then */
    if (n)
        memcpy(f->expected, addresses, n * sizeof(*addresses));
    f->wanted.addresses = f->expected;
    f->wanted.count = n;
    atomic_store(&f->wanted.known, true);
}

/* Names of C++ and Rust say more in the symbol table than a bare name in DWARF does. */
static bool is_mangled(const char *name) {
    return name[0] == '_' && (name[1] == 'Z' || name[1] == 'R');
}

/* Cuts off what compilers append for a clone of a function: ".cold", ".isra.0". A name may have points of its own:
 * Rust's old names have, and those of C++ coroutines. */
static void cut_clone(char *name) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz_.0123456789";
    for (char *point = strchr(name, '.'); point; point = strchr(point + 1, '.'))
        if (point[1] && point[1] != '.' && !point[strspn(point, letters)]) {
            *point = '\0';
            return;
        }
}

static size_t name_by_symbol(struct symbol_file *f, uint64_t address, struct symbol_location *ret, size_t n) {
    const struct symbol_entry *s = symbol_list_find(&f->symbols, address);
    char text[MAX_SYMBOL_NAME];
    if (!s)
        return n; /* what DWARF knows */
    symbol_list_name(&f->symbols, s, text, sizeof(text));
    if (n && ret[n - 1].name[0]) {
        if (!is_mangled(text))
            return n;
        cut_clone(text); /* DWARF does not tell it from its function */
    }
    struct symbol_name name = symbol_names_get(&f->names, text);
    if (n == 0)
        ret[n++] = (struct symbol_location){.file = ""};
    ret[n - 1].name = name.demangled;
    ret[n - 1].system_name = name.plain;
    return n;
}

/* A stripped program has no name for its entry point, but there is only one thing it can be. The size is
 * that of the C library's code on x86-64; a larger one would lend the name to what follows. */
static size_t name_by_entry(struct symbol_file *f, uint64_t address, struct symbol_location *ret) {
    enum { ENTRY_BYTES = 0x30 };
    if (!f->image.entry || address - f->image.entry >= ENTRY_BYTES || !symbol_file_is_executable(f))
        return 0;
    *ret = (struct symbol_location){.name = "_start", .system_name = "_start", .file = ""};
    return 1;
}

/* *ret_plain: see dwarf_file_lookup(). */
static size_t name_by_dwarf(struct symbol_file *f, uint64_t address, struct symbol_location *ret, size_t max,
                            bool *ret_plain) {
    await_dwarf(f);
    if (!f->dwarf_tried)
        load_dwarf(f, false);
    size_t n = f->dwarf ? dwarf_file_lookup(f->dwarf, &f->names, address, ret, max, ret_plain) : 0;
    if (n || !f->plain.partial)
        return n;
    settle(f);
    forget_dwarf(f);
    load_dwarf(f, true);
    return f->dwarf ? dwarf_file_lookup(f->dwarf, &f->names, address, ret, max, ret_plain) : 0;
}

size_t symbol_file_lookup(struct symbol_file *f, uint64_t address, struct symbol_location *ret, size_t max) {
    bool plain = false;
    if (max == 0)
        return 0;
    size_t n = name_by_dwarf(f, address, ret, max, &plain);
    if (n && ret[n - 1].name[0] && (plain || is_mangled(ret[n - 1].system_name)))
        return n; /* the symbol could say no more */
    settle(f);
    if (!f->names_loaded)
        load_names(f);
    n = name_by_symbol(f, address, ret, n);
    return n ? n : name_by_entry(f, address, ret);
}

/* ---- single symbols ---- */

static int find(struct symbol_file *f, const char *name, Elf64_Sym *ret) {
    if (elf_image_find(&f->image, name, ret) == 0)
        return 0;
    find_debug(f);
    if (f->debug.image.data)
        return elf_image_find(&f->debug.image, name, ret);
    settle(f);
    load_mini(f);
    return f->mini.data ? elf_image_find(&f->mini, name, ret) : -ENOENT;
}

int symbol_file_find(struct symbol_file *f, const char *name, struct symbol_range *ret) {
    Elf64_Sym s;
    int rc = find(f, name, &s);
    if (rc == 0)
        *ret = (struct symbol_range){.address = s.st_value, .size = s.st_size};
    return rc;
}

int symbol_file_find_exported(struct symbol_file *f, const char *name, struct symbol_range *ret) {
    Elf64_Sym s;
    int rc = elf_image_find_exported(&f->image, name, &s);
    if (rc == 0)
        *ret = (struct symbol_range){.address = s.st_value, .size = s.st_size};
    return rc;
}

int symbol_file_find_tls(struct symbol_file *f, const char *name, struct symbol_tls *ret) {
    Elf64_Sym s;
    int rc = find(f, name, &s);
    if (rc < 0 || ELF64_ST_TYPE(s.st_info) != STT_TLS)
        return rc < 0 ? rc : -ENOENT;
    for (size_t i = 0; i < f->image.n_segments; i++)
        if (f->image.segments[i].p_type == PT_TLS) {
            *ret = (struct symbol_tls){.offset = s.st_value,
                                       .block_size = f->image.segments[i].p_memsz,
                                       .block_align = f->image.segments[i].p_align};
            return 0;
        }
    return -ENOENT;
}
