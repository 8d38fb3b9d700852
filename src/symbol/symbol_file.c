/* One ELF file as the rest of scry sees it: sections, build id, names. Everything beyond the headers is
 * loaded when it is first asked for. */
#include <errno.h>
#include <lzma.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "symbol/internal.h"

enum { MAX_SECTION_BYTES = 1 << 30 };

struct inflated {
    const Elf64_Shdr *section;
    void *bytes;
    size_t size;
};

struct symbol_file {
    int fd;
    char *path;
    struct symbol_search search;
    struct elf_image image, debug, mini; /* the file; its separate debug file; its MiniDebugInfo */
    bool names_loaded, dwarf_tried;
    struct symbol_list symbols;
    struct symbol_names names;
    struct dwarf_file *dwarf;
    int debug_fd;
    char build_id[129];
    struct inflated inflated[16];
    size_t n_inflated;
};

/* ---- opening ---- */

/* The build id is the descriptor of the note "GNU" of type 3. */
static void read_build_id(struct symbol_file *f) {
    for (size_t i = 0; i < f->image.n_segments; i++) {
        const Elf64_Phdr *p = &f->image.segments[i];
        if (p->p_type != PT_NOTE || p->p_offset > f->image.size || p->p_filesz > f->image.size - p->p_offset)
            continue;
        const uint8_t *at = f->image.data + p->p_offset;
        size_t left = p->p_filesz;
        while (left >= sizeof(Elf64_Nhdr)) {
            Elf64_Nhdr n;
            memcpy(&n, at, sizeof(n));
            uint64_t name = (n.n_namesz + 3ull) & ~3ull, desc = (n.n_descsz + 3ull) & ~3ull;
            if (sizeof(n) + name + desc > left)
                break;
            if (n.n_type == NT_GNU_BUILD_ID && n.n_namesz == 4 && memcmp(at + sizeof(n), "GNU", 4) == 0 &&
                n.n_descsz <= 64) {
                for (uint32_t k = 0; k < n.n_descsz; k++)
                    snprintf(f->build_id + 2 * k, 3, "%02x", at[sizeof(n) + name + k]);
                return;
            }
            at += sizeof(n) + name + desc;
            left -= sizeof(n) + name + desc;
        }
    }
}

int symbol_file_open(int fd, const char *path, const struct symbol_search *search, struct symbol_file **ret,
                     struct err *err) {
    struct symbol_file *f = mem_zalloc(1, sizeof(*f));
    if (!f) {
        close(fd);
        return err_nomem(err);
    }
    f->fd = fd;
    f->debug_fd = -1;
    f->path = mem_strdup(path);
    if (search)
        f->search = *search;
    f->search.target = NULL; /* the target may be gone when names are asked for: look now */
    int rc = f->path ? elf_image_map(fd, &f->image) : -ENOMEM;
    if (rc < 0) {
        symbol_file_close(f);
        return err_set(err, rc, NULL, "%s is not a 64-bit ELF file", path);
    }
    read_build_id(f);
    if (search && search->target)
        symbol_file_find_debug(f, search);
    *ret = f;
    return 0;
}

void symbol_file_close(struct symbol_file *f) {
    if (!f)
        return;
    dwarf_file_close(f->dwarf);
    free(f->symbols.all);
    symbol_names_free(&f->names);
    elf_image_close(&f->image);
    elf_image_close(&f->debug);
    elf_image_close(&f->mini);
    for (size_t i = 0; i < f->n_inflated; i++)
        free(f->inflated[i].bytes);
    if (f->debug_fd >= 0)
        close(f->debug_fd);
    close(f->fd);
    free(f->path);
    free(f);
}

const char *symbol_file_build_id(struct symbol_file *f) {
    return f->build_id;
}

void symbol_file_release_pages(struct symbol_file *f) {
    elf_image_release_pages(&f->image);
    elf_image_release_pages(&f->debug);
}

/* ---- addresses ---- */

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

/* A mapping starts at a page boundary, which may lie before its segment. */
int symbol_file_bias(struct symbol_file *f, const struct target_mapping *m, uint64_t *ret) {
    for (size_t i = 0; i < f->image.n_segments; i++) {
        const Elf64_Phdr *p = &f->image.segments[i];
        uint64_t page_offset = p->p_offset & ~4095ull;
        if (p->p_type == PT_LOAD && (p->p_flags & PF_X || !(m->protection & 4)) && m->offset >= page_offset &&
            m->offset < p->p_offset + MAX(p->p_filesz, (uint64_t)1)) {
            *ret = m->start - (p->p_vaddr + (m->offset - p->p_offset));
            return 0;
        }
    }
    return -ENOENT;
}

int symbol_file_code_range(struct symbol_file *f, uint64_t *ret_start, uint64_t *ret_end) {
    uint64_t start = UINT64_MAX, end = 0;
    for (size_t i = 0; i < f->image.n_segments; i++) {
        const Elf64_Phdr *p = &f->image.segments[i];
        if (p->p_type != PT_LOAD || !(p->p_flags & PF_X) || p->p_vaddr + p->p_memsz < p->p_vaddr)
            continue;
        start = MIN(start, p->p_vaddr & ~4095ull);
        end = MAX(end, (p->p_vaddr + p->p_memsz + 4095) & ~4095ull);
    }
    if (start >= end)
        return -ENOENT;
    *ret_start = start;
    *ret_end = end;
    return 0;
}

/* ---- sections ---- */

static int inflate_section(const Elf64_Chdr *h, const uint8_t *bytes, size_t size, void *to) {
    if (h->ch_type == ELFCOMPRESS_ZLIB) {
        uLongf n = h->ch_size;
        return uncompress(to, &n, bytes, size) == Z_OK && n == h->ch_size ? 0 : -EBADMSG;
    }
    if (h->ch_type == 2) /* ELFCOMPRESS_ZSTD */
        return ZSTD_decompress(to, h->ch_size, bytes, size) == h->ch_size ? 0 : -EBADMSG;
    return -EBADMSG;
}

static int compressed_section(struct symbol_file *f, const Elf64_Shdr *s, const uint8_t *bytes, size_t size,
                              struct symbol_section *ret) {
    for (size_t i = 0; i < f->n_inflated; i++)
        if (f->inflated[i].section == s) {
            ret->data = f->inflated[i].bytes;
            ret->size = f->inflated[i].size;
            return 0;
        }
    Elf64_Chdr h;
    if (size < sizeof(h) || f->n_inflated == ARRAY_SIZE(f->inflated))
        return -EBADMSG;
    memcpy(&h, bytes, sizeof(h));
    void *to = h.ch_size <= MAX_SECTION_BYTES && h.ch_size / 1100 <= size ? mem_alloc(h.ch_size) : NULL;
    if (!to || inflate_section(&h, bytes + sizeof(h), size - sizeof(h), to) < 0) {
        free(to);
        return -EBADMSG;
    }
    f->inflated[f->n_inflated++] = (struct inflated){s, to, h.ch_size};
    ret->data = to;
    ret->size = h.ch_size;
    return 0;
}

int symbol_file_section(struct symbol_file *f, const char *name, struct symbol_section *ret) {
    const Elf64_Shdr *s = elf_image_section(&f->image, name);
    if (!s)
        return -ENOENT;
    *ret = (struct symbol_section){.size = s->sh_size, .address = s->sh_addr};
    if (s->sh_type == SHT_NOBITS)
        return 0;
    const uint8_t *bytes = elf_image_bytes(&f->image, s, &ret->size);
    if (!bytes)
        return -EBADMSG;
    if (s->sh_flags & SHF_COMPRESSED)
        return compressed_section(f, s, bytes, ret->size, ret);
    ret->data = bytes;
    return 0;
}

/* ---- where the names are ---- */

static bool has_dwarf(const struct elf_image *e) {
    return elf_image_section(e, ".debug_info") || elf_image_section(e, ".zdebug_info");
}

void symbol_file_find_debug(struct symbol_file *f, const struct symbol_search *search) {
    if (f->debug.data || has_dwarf(&f->image))
        return;
    char link[256] = "";
    uint32_t crc = 0;
    size_t size;
    const Elf64_Shdr *s = elf_image_section(&f->image, ".gnu_debuglink");
    const uint8_t *bytes = s ? elf_image_bytes(&f->image, s, &size) : NULL;
    if (bytes && size >= 8 && size < sizeof(link) && memchr(bytes, 0, size)) {
        snprintf(link, sizeof(link), "%s", (const char *)bytes);
        memcpy(&crc, bytes + size - 4, 4);
    }
    int fd = debug_file_find(search, f->path, f->build_id, link[0] ? link : NULL, crc);
    if (fd < 0)
        return;
    if (elf_image_map(fd, &f->debug) < 0) {
        close(fd);
        return;
    }
    f->debug_fd = fd;
}

/* MiniDebugInfo: an ELF image compressed by xz, with a symbol table of what .dynsym lacks. */
static void load_mini_debug_info(struct symbol_file *f) {
    size_t size;
    const Elf64_Shdr *s = elf_image_section(&f->image, ".gnu_debugdata");
    const uint8_t *bytes = s ? elf_image_bytes(&f->image, s, &size) : NULL;
    if (!bytes)
        return;
    for (size_t room = size * 8; room <= 256u << 20; room *= 4) {
        void *to = mem_alloc(room);
        uint64_t limit = 256u << 20;
        size_t in = 0, out = 0;
        if (!to)
            return;
        lzma_ret rc = lzma_stream_buffer_decode(&limit, 0, NULL, bytes, &in, size, to, &out, room);
        if (rc == LZMA_OK) {
            elf_image_of(to, out, &f->mini);
            return;
        }
        free(to);
        if (rc != LZMA_BUF_ERROR)
            return;
    }
}

static void load_names(struct symbol_file *f) {
    f->names_loaded = true;
    symbol_file_find_debug(f, &f->search);
    bool full = elf_image_section_type(&f->image, SHT_SYMTAB) != NULL;
    symbol_list_add(&f->symbols, &f->image);
    if (!full && f->debug.data)
        symbol_list_add(&f->symbols, &f->debug);
    if (!full && !f->debug.data) {
        load_mini_debug_info(f);
        if (f->mini.data)
            symbol_list_add(&f->symbols, &f->mini);
    }
    symbol_list_add_stubs(&f->symbols, &f->image, &f->names.arena);
    symbol_list_sort(&f->symbols);
    symbol_file_release_pages(f);
}

static void load_dwarf(struct symbol_file *f) {
    f->dwarf_tried = true;
    if (has_dwarf(&f->image))
        dwarf_file_open(dup(f->fd), &f->dwarf);
    else if (f->debug.data && has_dwarf(&f->debug))
        dwarf_file_open(dup(f->debug_fd), &f->dwarf);
}

size_t symbol_file_lookup(struct symbol_file *f, uint64_t address, struct symbol_location *ret, size_t max) {
    if (max == 0)
        return 0;
    if (!f->names_loaded)
        load_names(f);
    if (!f->dwarf_tried)
        load_dwarf(f);
    const struct symbol_entry *s = symbol_list_find(&f->symbols, address);
    size_t n = f->dwarf ? dwarf_file_lookup(f->dwarf, &f->names, address, ret, max) : 0;
    if (n && ret[n - 1].name[0])
        return n;
    if (!s)
        return 0;
    struct symbol_name name = symbol_names_get(&f->names, s->name);
    if (n == 0)
        ret[n++] = (struct symbol_location){.file = ""};
    ret[n - 1].name = name.demangled;
    ret[n - 1].system_name = name.plain;
    return n;
}

/* ---- single symbols ---- */

static int find(struct symbol_file *f, const char *name, Elf64_Sym *ret) {
    if (elf_image_find(&f->image, name, ret) == 0)
        return 0;
    symbol_file_find_debug(f, &f->search);
    return f->debug.data ? elf_image_find(&f->debug, name, ret) : -ENOENT;
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

/* Position-independent programs look like libraries but name an interpreter. */
bool symbol_file_is_executable(struct symbol_file *f) {
    if (((const Elf64_Ehdr *)(const void *)f->image.data)->e_type == ET_EXEC)
        return true;
    for (size_t i = 0; i < f->image.n_segments; i++)
        if (f->image.segments[i].p_type == PT_INTERP)
            return true;
    return false;
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
