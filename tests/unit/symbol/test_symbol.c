#include "../unit.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/buf.h"
#include "base/file.h"
#include "symbol/dwarf_ranges.h"
#include "symbol/internal.h"
#include "symbol/symbol.h"

static __thread char before_it[24] = "x";
static __thread long thread_local_number = 42;

static struct symbol_file *open_path(const char *path) {
    struct symbol_file *f = NULL;
    assert_int_equal(symbol_file_open(open(path, O_RDONLY | O_CLOEXEC), path, NULL, &f, NULL), 0);
    return f;
}

static void exported_symbols_are_where_the_loader_put_them(void **state) {
    static const char *const names[] = {"qsort", "fopen", "getenv", "environ", "strtol", "sigaction"};
    Dl_info info;
    void *libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD); /* a sanitizer has its own in front */
    assert_non_null(libc);
    assert_true(dladdr(dlsym(libc, "qsort"), &info));
    _cleanup_(symbol_file_closep) struct symbol_file *f = open_path(info.dli_fname);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        struct symbol_range r;
        assert_int_equal(symbol_file_find(f, names[i], &r), 0);
        assert_ptr_equal((char *)info.dli_fbase + r.address, dlsym(libc, names[i]));
        assert_int_equal(symbol_file_find_exported(f, names[i], &r), 0);
        assert_ptr_equal((char *)info.dli_fbase + r.address, dlsym(libc, names[i]));
    }
    struct symbol_range r = {.address = 1};
    assert_int_equal(symbol_file_find(f, "there is no such name", &r), -ENOENT);
    assert_int_equal(symbol_file_find(f, "", &r), -ENOENT);
    assert_int_equal(r.address, 1);
}

/* Every mapping of a file says the same, data and code alike. */
static void all_mappings_of_a_file_have_one_bias(void **state) {
    _cleanup_(target_closep) struct target *t = NULL;
    assert_int_equal(target_open(getpid(), &t, NULL), 0);
    size_t n, compared = 0;
    const struct target_mapping *m = target_mappings(t, &n);
    for (size_t i = 0; i < n; i++) {
        Dl_info info;
        if (m[i].path[0] != '/' || !dladdr((void *)m[i].start, &info))
            continue;
        _cleanup_(symbol_file_closep) struct symbol_file *f = open_path(m[i].path);
        uint64_t bias = 0, address;
        int rc = symbol_file_bias(f, &m[i], &bias);
        if (rc < 0 && !(m[i].protection & PROT_EXEC))
            continue; /* data may be undecided */
        assert_int_equal(rc, 0);
        assert_int_equal(bias, (uint64_t)info.dli_fbase);
        if ((m[i].protection & PROT_EXEC) && symbol_file_offset_to_address(f, m[i].offset, &address) == 0)
            assert_int_equal(address + bias, m[i].start);
        compared++;
    }
    assert_true(compared >= 8 && compared < 1000);
}

static uint64_t thread_pointer(void) {
    uint64_t tp;
    __asm__("mov %%fs:0, %0" : "=r"(tp));
    return tp;
}

static void thread_local_symbols_lie_where_they_say(void **state) {
    _cleanup_(symbol_file_closep) struct symbol_file *f = open_path("/proc/self/exe");
    struct symbol_tls tls;
    assert_int_equal(symbol_file_find_tls(f, "thread_local_number", &tls), 0);
    /* The program's own block ends at the thread pointer. */
    uint64_t block = (thread_pointer() - tls.block_size) & ~(tls.block_align - 1);
    assert_ptr_equal((void *)(block + tls.offset), &thread_local_number);
    assert_int_equal(before_it[0], 'x');
    assert_int_equal(symbol_file_find_tls(f, "main", &tls), -ENOENT);
}

static inline __attribute__((always_inline)) void *here(void) {
    void *at;
    __asm__ volatile("lea 0(%%rip), %0" : "=r"(at));
    return at;
}

static void inlined_calls_have_the_line_of_the_call(void **state) {
    Dl_info info;
    struct symbol_location at[SYMBOL_MAX_INLINES];
    void *address = (char *)here() - 1; /* the instruction itself */
    uint32_t line = __LINE__ - 1;
    assert_true(dladdr(address, &info));
    _cleanup_(symbol_file_closep) struct symbol_file *f = open_path("/proc/self/exe");
    size_t n = symbol_file_lookup(f, (uint64_t)address - (uint64_t)info.dli_fbase, at, SYMBOL_MAX_INLINES);
    assert_int_equal(n, 2);
    assert_string_equal(at[0].name, "here");
    assert_true(at[0].inlined);
    assert_string_equal(at[1].name, __func__);
    assert_int_equal(at[1].line, line);
    assert_int_equal(at[1].start_line, line - 3);
    assert_false(at[1].inlined);
    assert_string_equal(strrchr(at[1].file, '/'), "/test_symbol.c");
    assert_int_equal(symbol_file_lookup(f, 0, at, SYMBOL_MAX_INLINES), 0);
    assert_int_equal(symbol_file_lookup(f, UINT64_MAX, at, SYMBOL_MAX_INLINES), 0);
}

static void what_a_thread_loaded_is_the_same(void **state) {
    for (int round = 0; round < 20; round++) {
        _cleanup_(symbol_file_closep) struct symbol_file *plain = open_path("/proc/self/exe");
        _cleanup_(symbol_file_closep) struct symbol_file *prepared = open_path("/proc/self/exe");
        struct symbol_location expected[SYMBOL_MAX_INLINES], found[SYMBOL_MAX_INLINES];
        struct symbol_section s;
        struct symbol_range r;
        symbol_file_prepare(prepared);
        symbol_file_prepare(prepared);
        if (round == 0)
            continue; /* closed at once */
        assert_int_equal(symbol_file_section(prepared, ".text", &s), 0);
        assert_int_equal(symbol_file_find(prepared, "there is no such name", &r), -ENOENT);
        symbol_file_release_pages(prepared);
        for (uint64_t at = s.address; at < s.address + s.size; at += 997) {
            size_t n = symbol_file_lookup(plain, at, expected, SYMBOL_MAX_INLINES);
            assert_int_equal(symbol_file_lookup(prepared, at, found, SYMBOL_MAX_INLINES), n);
            for (size_t i = 0; i < n; i++) {
                assert_string_equal(found[i].name, expected[i].name);
                assert_string_equal(found[i].file, expected[i].file);
                assert_int_equal(found[i].line, expected[i].line);
            }
        }
    }
}

static int memory_file(const void *data, size_t size) {
    int fd = memfd_create("test", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, size), size);
    return fd;
}

static void names_that_were_forgotten_are_loaded_again(void **state) {
    _cleanup_(symbol_file_closep) struct symbol_file *f = open_path("/proc/self/exe");
    struct symbol_range r;
    struct symbol_location at[SYMBOL_MAX_INLINES];
    size_t loose, held;
    assert_int_equal(symbol_file_find(f, "main", &r), 0);
    for (unsigned i = 0; i < 6; i++) {
        assert_true(symbol_file_lookup(f, r.address, at, ARRAY_SIZE(at)) > 0);
        assert_string_equal(at[0].name, "main");
        held = symbol_file_held(f, &loose);
        assert_true(held > loose);
        symbol_file_forget(f, i % 2);
        assert_true(symbol_file_held(f, &loose) <= held);
        assert_int_equal(loose, 0);
        assert_int_equal(symbol_file_held(f, &loose) == 0, i % 2);
    }
}

static void what_is_no_elf_file_is_refused_in_words(void **state) {
    struct symbol_file *f = NULL;
    struct err err = {0};
    assert_int_equal(symbol_file_open(memory_file("", 0), "empty", NULL, &f, &err), -ENOEXEC);
    assert_string_equal(err.text, "empty is not a 64-bit ELF file");
    assert_int_equal(symbol_file_open(memory_file("#!/bin/sh\n", 10), "script", NULL, &f, &err), -ENOEXEC);
    assert_int_equal(symbol_file_open(open("/", O_RDONLY | O_CLOEXEC), "/", NULL, &f, &err), -ENOEXEC);
    assert_int_equal(symbol_file_open(-1, "closed", NULL, &f, &err), -EBADF);
    assert_null(f);
}

static void read_program(struct buf *ret) {
    assert_int_equal(file_read("/proc/self/exe", 64 << 20, ret, NULL), 0);
}

static uint64_t some_function(struct symbol_file *f) {
    struct symbol_range r;
    assert_int_equal(symbol_file_find(f, "main", &r), 0);
    return r.address;
}

/* Cut short before anything was looked up, between look-ups, and to nothing. */
static void a_file_may_be_cut_short_while_it_is_read(void **state) {
    _cleanup_(buf_free) struct buf program = {0};
    read_program(&program);
    struct symbol_location at[SYMBOL_MAX_INLINES];
    for (int when = 0; when < 3; when++) {
        int fd = memory_file(program.data, program.len), other = dup(fd);
        struct symbol_file *f = NULL;
        assert_int_equal(symbol_file_open(fd, "test", NULL, &f, NULL), 0);
        uint64_t main_address = some_function(f);
        if (when == 1)
            assert_true(symbol_file_lookup(f, main_address, at, SYMBOL_MAX_INLINES) > 0);
        symbol_file_release_pages(f);
        assert_int_equal(ftruncate(other, when == 2 ? 0 : 8192), 0);
        for (uint64_t address = 0; address < 1 << 16; address += 64)
            symbol_file_lookup(f, address, at, SYMBOL_MAX_INLINES);
        struct symbol_section s;
        if (symbol_file_section(f, ".debug_info", &s) == 0)
            assert_int_equal(hash_bytes(s.data, s.size) != 1, true);
        symbol_file_close(f);
        close(other);
    }
}

static void a_string_that_lost_its_end_ends_after_the_file(void **state) {
    char all[8192]; /* whole pages: what follows them is not the file's */
    memset(all, 'x', sizeof(all));
    int fd = memory_file(all, sizeof(all));
    const uint8_t *data;
    size_t size;
    struct elf_origin origin;
    assert_int_equal(mapping_open(fd, &data, &size, &origin), 0);
    assert_int_equal(strlen((const char *)data), sizeof(all));
    mapping_close(data, size);
    close(fd);
}

/* Makes a section a compressed one, of so many zeros. */
static void compress_section(struct buf *program, const char *name, size_t zeros) {
    struct elf_image e;
    assert_int_equal(elf_image_of(memcpy(malloc(program->len), program->data, program->len), program->len, &e), 0);
    const Elf64_Shdr *s = elf_image_section(&e, name);
    assert_non_null(s);
    Elf64_Ehdr header;
    memcpy(&header, program->data, sizeof(header));
    Elf64_Shdr changed = *s;
    changed.sh_flags |= SHF_COMPRESSED;
    memcpy(program->data + header.e_shoff + (size_t)(s - e.sections) * sizeof(changed), &changed, sizeof(changed));
    Elf64_Chdr h = {.ch_type = ELFCOMPRESS_ZLIB, .ch_size = zeros, .ch_addralign = 1};
    memcpy(program->data + s->sh_offset, &h, sizeof(h));
    _cleanup_(freep) void *plain = calloc(1, zeros);
    uLongf room = s->sh_size - sizeof(h);
    assert_int_equal(compress((Bytef *)program->data + s->sh_offset + sizeof(h), &room, plain, zeros), Z_OK);
    elf_image_close(&e);
}

/* What is loaded is never compressed, so that what is used of a file in memory is no more than what it has on disk. */
static void only_what_is_not_loaded_may_be_compressed(void **state) {
    static const char *const names[] = {".debug_line", ".eh_frame"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        _cleanup_(buf_free) struct buf program = {0};
        read_program(&program);
        compress_section(&program, names[i], 100000);
        _cleanup_(symbol_file_closep) struct symbol_file *f = NULL;
        assert_int_equal(symbol_file_open(memory_file(program.data, program.len), "test", NULL, &f, NULL), 0);
        struct symbol_section s = {0};
        assert_int_equal(symbol_file_section(f, names[i], &s), i ? -EBADMSG : 0);
        assert_int_equal(s.size, i ? 0 : 100000);
    }
}

static void look_everywhere(struct symbol_file *f) {
    struct symbol_location at[SYMBOL_MAX_INLINES];
    struct symbol_section s;
    struct symbol_range r;
    struct symbol_tls tls;
    struct symbol_code code;
    symbol_file_find(f, "main", &r);
    symbol_file_find_tls(f, "thread_local_number", &tls);
    symbol_file_code(f, &code);
    symbol_file_section(f, ".text", &s);
    symbol_file_section(f, ".debug_info", &s);
    for (uint64_t address = 0x1000; address < 0x10000; address += 997) {
        size_t n = symbol_file_lookup(f, address, at, SYMBOL_MAX_INLINES);
        for (size_t i = 0; i < n; i++)
            assert_true(at[i].name && at[i].system_name && at[i].file);
    }
}

static void broken_files_do_no_harm(void **state) {
    _cleanup_(buf_free) struct buf program = {0};
    read_program(&program);
    srandom(7);
    for (int round = 0; round < 150; round++) {
        size_t cut = round % 3 ? program.len : (size_t)random() % program.len;
        char *copy = mem_alloc(program.len);
        assert_non_null(copy);
        memcpy(copy, program.data, program.len);
        /* Half of them in the headers, where they do most. */
        for (int i = 0; i < 40; i++) {
            size_t where = i & 1 ? (size_t)random() % program.len : program.len - 1 - (size_t)random() % 4096;
            if (i % 8 == 0)
                where = (size_t)random() % 1024;
            copy[where] = (char)random();
        }
        memcpy(copy, "\177ELF\2\1", 6);
        struct symbol_file *f = NULL;
        if (symbol_file_open(memory_file(copy, cut), "test", NULL, &f, NULL) == 0) {
            look_everywhere(f);
            symbol_file_close(f);
        }
        free(copy);
    }
}

static void opening_survives_every_failed_allocation(void **state) {
    for (long n = 0; n < 400; n++) {
        struct symbol_file *f = NULL;
        struct symbol_location at[SYMBOL_MAX_INLINES];
        mem_fail_after(n);
        int rc = symbol_file_open(open("/proc/self/exe", O_RDONLY | O_CLOEXEC), "test", NULL, &f, NULL);
        if (rc == 0) {
            symbol_file_lookup(f, 0x2000, at, SYMBOL_MAX_INLINES);
            symbol_file_close(f);
        } else {
            assert_int_equal(rc, -ENOMEM);
        }
        mem_fail_after(-1);
    }
}

/* An image of very many sections of code, each with a label that has no size: what one label costs must not
 * grow with the number of sections, or this takes minutes. */
static void labels_end_where_their_sections_do(void **state) {
    enum { N = 400000 };
    Elf64_Ehdr h = {.e_ident = "\177ELF\2\1\1", .e_type = ET_DYN, .e_machine = EM_X86_64, .e_version = 1};
    size_t symbols_at = sizeof(h), names_at = symbols_at + N * sizeof(Elf64_Sym), sections_at = names_at + 8;
    h.e_shoff = sections_at;
    h.e_shentsize = sizeof(Elf64_Shdr);
    size_t size = sections_at + (N + 3) * sizeof(Elf64_Shdr);
    char *bytes = mem_zalloc(1, size);
    assert_non_null(bytes);
    memcpy(bytes, &h, sizeof(h));
    memcpy(bytes + names_at, "\0label", 7);
    Elf64_Shdr *sections = (void *)(bytes + sections_at);
    Elf64_Sym *symbols = (void *)(bytes + symbols_at);
    sections[0].sh_size = N + 3; /* more than the header can count */
    sections[1] = (Elf64_Shdr){.sh_type = SHT_SYMTAB,
                               .sh_offset = symbols_at,
                               .sh_size = N * sizeof(Elf64_Sym),
                               .sh_link = 2,
                               .sh_entsize = sizeof(Elf64_Sym)};
    sections[2] = (Elf64_Shdr){.sh_type = SHT_STRTAB, .sh_offset = names_at, .sh_size = 7};
    for (uint64_t i = 0; i < N; i++) {
        sections[i + 3] =
            (Elf64_Shdr){.sh_type = SHT_NOBITS, .sh_flags = SHF_EXECINSTR, .sh_addr = 32 * (N - i), .sh_size = 16};
        symbols[i] = (Elf64_Sym){.st_name = 1, .st_info = STT_FUNC, .st_shndx = 3, .st_value = 32 * i + 4};
    }
    struct elf_image image;
    assert_int_equal(elf_image_of(bytes, size, &image), 0);
    struct symbol_list list = {0};
    assert_int_equal(symbol_list_build(&list, (const struct elf_image *[]){&image}, 1), 0);
    for (uint64_t i = 1; i < N; i += 999) {
        assert_non_null(symbol_list_find(&list, 32 * i + 15));
        assert_null(symbol_list_find(&list, 32 * i + 16));
    }
    symbol_list_free(&list);
    elf_image_close(&image);
}

/* ---- ranges, against looking at every one ---- */

static void overlapping_ranges_give_way_to_what_starts_later(void **state) {
    srandom(3);
    for (int round = 0; round < 200; round++) {
        struct dwarf_ranges r = {0};
        struct {
            uint64_t low, high;
        } all[24];
        for (uint32_t i = 0; i < ARRAY_SIZE(all); i++) {
            all[i].low = 1 + (uint64_t)random() % 200 * 24 + i; /* no two start together */
            all[i].high = all[i].low + 1 + (uint64_t)random() % 900;
            assert_int_equal(dwarf_ranges_add(&r, all[i].low, all[i].high, i), 0);
        }
        assert_int_equal(dwarf_ranges_finish(&r), 0);
        for (uint64_t address = 0; address < 6000; address += 7) {
            uint32_t expected = UINT32_MAX;
            for (uint32_t i = 0; i < ARRAY_SIZE(all); i++)
                if (address >= all[i].low && address < all[i].high &&
                    (expected == UINT32_MAX || all[i].low > all[expected].low))
                    expected = i;
            const struct dwarf_range *found = dwarf_ranges_find(&r, address);
            assert_int_equal(found ? found->what : UINT32_MAX, expected);
        }
        dwarf_ranges_free(&r);
    }
}

/* ---- perf maps ---- */

static struct symbol_perf_maps perf_maps = {.limit = 64 << 20};

static struct symbol_perf_map *map_of(int fd) {
    struct symbol_perf_map *m = NULL;
    assert_int_equal(symbol_perf_map_open_fd(dup(fd), &perf_maps, &m), 0);
    return m;
}

static void append_text(int fd, const char *text) {
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void perf_maps_are_read_on_as_they_grow(void **state) {
    int fd = memory_file("", 0);
    _cleanup_(symbol_perf_map_closep) struct symbol_perf_map *m = map_of(fd);
    assert_string_equal(symbol_perf_map_lookup(m, 0x1000), "");
    append_text(fd, "1000 20 first function\n0x2000 10 LazyCompile:~f a.js:1\nnot a line\n3000 0 empty\n4000 8\n");
    const char *first = symbol_perf_map_lookup(m, 0x101f);
    assert_string_equal(first, "first function");
    assert_string_equal(symbol_perf_map_lookup(m, 0x1020), "");
    assert_string_equal(symbol_perf_map_lookup(m, 0x2000), "LazyCompile:~f a.js:1");
    assert_string_equal(symbol_perf_map_lookup(m, 0x3000), "");
    append_text(fd, "5000 10 hal");
    assert_string_equal(symbol_perf_map_lookup(m, 0x5000), "");
    append_text(fd, "f\n");
    assert_string_equal(symbol_perf_map_lookup(m, 0x5000), "half");
    for (int i = 0; i < 5000; i++) { /* enough to move what could move */
        char line[64];
        snprintf(line, sizeof(line), "%x 10 f%d\n", 0x100000 + i * 16, i);
        append_text(fd, line);
    }
    assert_string_equal(symbol_perf_map_lookup(m, 0x100000 + 4999 * 16), "f4999");
    assert_string_equal(first, "first function");
    assert_int_equal(ftruncate(fd, 0), 0);
    lseek(fd, 0, SEEK_SET);
    append_text(fd, "9000 10 anew\n");
    assert_string_equal(symbol_perf_map_lookup(m, 0x9000), "anew");
    close(fd);
}

static void a_known_name_gives_way_to_what_is_written_later(void **state) {
    int fd = memory_file("", 0);
    _cleanup_(symbol_perf_map_closep) struct symbol_perf_map *m = map_of(fd);
    append_text(fd, "1000 100 once\n2000 100 stays\n");
    assert_string_equal(symbol_perf_map_lookup(m, 0x1000), "once");
    append_text(fd, "1000 10 again\n");
    assert_string_equal(symbol_perf_map_lookup(m, 0x1000), "again");
    assert_string_equal(symbol_perf_map_lookup(m, 0x1010), "once");
    assert_string_equal(symbol_perf_map_lookup(m, 0x2000), "stays");
    close(fd);
}

static void a_map_that_is_written_anew_is_read_anew(void **state) {
    int fd = memory_file("", 0);
    _cleanup_(symbol_perf_map_closep) struct symbol_perf_map *m = map_of(fd);
    append_text(fd, "1000 100 before\n");
    const char *before = symbol_perf_map_lookup(m, 0x1000);
    assert_string_equal(before, "before");
    assert_int_equal(ftruncate(fd, 0), 0);
    lseek(fd, 0, SEEK_SET);
    append_text(fd, "2000 100 a longer map than was there before\n");
    assert_string_equal(symbol_perf_map_lookup(m, 0x1000), "");
    assert_string_equal(symbol_perf_map_lookup(m, 0x2000), "a longer map than was there before");
    assert_int_equal(ftruncate(fd, 0), 0);
    lseek(fd, 0, SEEK_SET);
    append_text(fd, "1000 100 short\n");
    assert_string_equal(symbol_perf_map_lookup(m, 0x1000), "short");
    assert_string_equal(symbol_perf_map_lookup(m, 0x2000), "");
    assert_string_equal(before, "before");
    close(fd);
}

/* Names that come again cost nothing, and entries that are replaced go. */
static void a_map_that_is_written_for_ever_stays_small(void **state) {
    int fd = memory_file("", 0);
    _cleanup_(symbol_perf_map_closep) struct symbol_perf_map *m = map_of(fd);
    size_t then = 0;
    for (int round = 0; round < 400; round++) {
        for (int i = 0; i < 100; i++) {
            char line[300];
            snprintf(line, sizeof(line), "%x 10 %0200d\n", 0x1000 + i * 16, (i + round) % 100);
            append_text(fd, line);
        }
        assert_string_not_equal(symbol_perf_map_lookup(m, 0x1000 + 16 * (uint64_t)(round % 100)), "");
        if (round == 100)
            then = mallinfo2().uordblks;
    }
    assert_true(mallinfo2().uordblks < then + 16384);
    close(fd);
}

/* Maps share what they may hold; one that goes makes room. */
static void maps_together_hold_no_more_than_their_limit(void **state) {
    enum { MAPS = 6, LINES = 40000, LIMIT = 8 << 20 };
    struct symbol_perf_maps all = {.limit = LIMIT};
    struct symbol_perf_map *maps[MAPS];
    _cleanup_(buf_free) struct buf text = {0};
    for (int i = 0; i < LINES; i++)
        buf_addf(&text, "%x 10 %0100d\n", 0x1000 + i * 16, i);
    int fd = memory_file(text.data, text.len);
    size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
    for (int i = 0; i < MAPS; i++) {
        assert_int_equal(symbol_perf_map_open_fd(dup(fd), &all, &maps[i]), 0);
        symbol_perf_map_lookup(maps[i], 0x1000);
    }
    size_t held = mallinfo2().uordblks + mallinfo2().hblkhd - before;
    assert_true(held < LIMIT * 5 / 4); /* nothing is known of it under a sanitizer */
    assert_true(all.held > LIMIT / 2 && all.held < LIMIT * 5 / 4);
    assert_true(all.left_out > 3 * LINES && all.left_out < 5 * LINES);
    assert_string_not_equal(symbol_perf_map_lookup(maps[0], 0x1000 + 16 * (LINES - 1)), "");
    assert_string_equal(symbol_perf_map_lookup(maps[MAPS - 1], 0x1000), "");
    append_text(fd, "10 10 later\n");
    assert_string_equal(symbol_perf_map_lookup(maps[MAPS - 1], 0x10), "");
    symbol_perf_map_close(maps[0]);
    append_text(fd, "20 10 last\n");
    assert_string_equal(symbol_perf_map_lookup(maps[MAPS - 1], 0x20), "last");
    for (int i = 1; i < MAPS; i++)
        symbol_perf_map_close(maps[i]);
    assert_int_equal(all.held, 0);
    close(fd);
}

static void later_lines_replace_what_they_overlap(void **state) {
    srandom(5);
    for (int round = 0; round < 60; round++) {
        int fd = memory_file("", 0);
        _cleanup_(symbol_perf_map_closep) struct symbol_perf_map *m = map_of(fd);
        uint64_t start[40], end[40];
        for (int i = 0; i < 40; i++) {
            char line[64];
            start[i] = (uint64_t)random() % 4000;
            end[i] = start[i] + 1 + (uint64_t)random() % 700;
            snprintf(line, sizeof(line), "%llx %llx n%d\n", (unsigned long long)start[i],
                     (unsigned long long)(end[i] - start[i]), i);
            append_text(fd, line);
            if (round % 2 ? i == 20 : random() % 3 == 0) /* in two readings, or in many */
                symbol_perf_map_lookup(m, 100000);
        }
        symbol_perf_map_lookup(m, 100000);
        for (uint64_t address = 0; address < 5000; address += 3) {
            char expected[16] = "";
            for (int i = 0; i < 40; i++)
                if (address >= start[i] && address < end[i])
                    snprintf(expected, sizeof(expected), "n%d", i);
            assert_string_equal(symbol_perf_map_lookup(m, address), expected);
        }
        close(fd);
    }
}

static void a_target_s_own_map_is_found(void **state) {
    char path[64];
    _cleanup_(target_closep) struct target *t = NULL;
    assert_int_equal(target_open(getpid(), &t, NULL), 0);
    snprintf(path, sizeof(path), "/tmp/perf-%d.map", getpid());
    unlink(path);
    struct symbol_perf_map *m = NULL;
    assert_int_equal(symbol_perf_map_open(t, &perf_maps, &m), -ENOENT);
    assert_int_equal(file_write(path, "abc000 10 jitted\n", 17, NULL), 0);
    assert_int_equal(symbol_perf_map_open(t, &perf_maps, &m), 0);
    assert_string_equal(symbol_perf_map_lookup(m, 0xabc00f), "jitted");
    unlink(path);
    assert_int_equal(file_write(path, "abc000 10 another file of that name\n", 36, NULL), 0);
    assert_string_equal(symbol_perf_map_lookup(m, 0xabc00f), "another file of that name");
    symbol_perf_map_close(m);
    unlink(path);
}

/* ---- the kernel ---- */

static int open_kernel_of(const char *text, struct symbol_kernel **ret, struct err *err) {
    char path[] = "/tmp/kallsyms-XXXXXX";
    int fd = mkstemp(path);
    append_text(fd, text);
    close(fd);
    int rc = symbol_kernel_open_path(path, ret, err);
    unlink(path);
    return rc;
}

static void kernel_functions_have_their_modules(void **state) {
    _cleanup_(symbol_kernel_closep) struct symbol_kernel *k = NULL;
    const char *module;
    assert_int_equal(open_kernel_of("0000000000000000 A fixed_percpu_data\n"
                                    "ffffffff81000000 T _text\n"
                                    "ffffffff81000000 T startup_64\n"
                                    "ffffffff81000100 t __do_it\n"
                                    "ffffffff81000100 T do_it\n"
                                    "ffffffff81000200 D data\n"
                                    "ffffffffc0001000 t nf_hook\t[nf_tables]\n"
                                    "ffffffffc0002000 t nf_other\t[nf_tables]\n"
                                    "ffffffffc0008000 t bpf_prog_6deef7357e7b4530_trace\t[bpf]\n",
                                    &k, NULL),
                     0);
    assert_string_equal(symbol_kernel_lookup(k, 0xffffffff81000010, &module), "startup_64");
    assert_string_equal(module, "");
    assert_string_equal(symbol_kernel_lookup(k, 0xffffffff81000234, &module), "do_it");
    assert_string_equal(symbol_kernel_lookup(k, 0xffffffffc0002001, &module), "nf_other");
    assert_string_equal(module, "nf_tables");
    assert_string_equal(symbol_kernel_lookup(k, 0xffffffffc0008010, &module), "bpf_prog_6deef7357e7b4530_trace");
    assert_string_equal(module, "bpf");
    assert_string_equal(symbol_kernel_lookup(k, 0xffffffff80ffffff, &module), "");
    assert_string_equal(symbol_kernel_lookup(k, 0xffffffffd0000000, &module), "");
}

static void a_kernel_that_hides_its_addresses_is_told_from_one_without(void **state) {
    struct symbol_kernel *k = NULL;
    struct err err = {0};
    assert_int_equal(open_kernel_of("0000000000000000 A fixed_percpu_data\n0000000000000000 T _text\n", &k, &err),
                     -EPERM);
    assert_non_null(strstr(err.text, "addresses"));
    assert_true(err.advice[0]);
    assert_int_equal(open_kernel_of("", &k, &err), -ENOENT);
    assert_int_equal(symbol_kernel_open_path("/nonexistent", &k, &err), -ENOENT);
}

static void this_kernel_s_functions_are_found(void **state) {
    struct symbol_kernel *k = NULL;
    const char *module;
    if (symbol_kernel_open(&k, NULL) < 0)
        skip();
    FILE *f = fopen("/proc/kallsyms", "r");
    char line[512], type, name[256];
    unsigned long long address;
    unsigned checked = 0;
    while (fgets(line, sizeof(line), f))
        if (sscanf(line, "%llx %c %255s", &address, &type, name) == 3 && strcmp(name, "schedule") == 0 && type == 'T') {
            assert_string_equal(symbol_kernel_lookup(k, address + 5, &module), "schedule");
            checked++;
        }
    fclose(f);
    assert_int_equal(checked, 1);
    symbol_kernel_close(k);
}

/* ---- demangling ---- */

static void names_that_explode_stay_as_they_are(void **state) {
    /* Pairs of pairs: each level is twice the one before. */
    _cleanup_(buf_free) struct buf b = {0};
    buf_adds(&b, "_Z1fSt4pairIiiE");
    for (int i = 0; i < 60; i++)
        buf_addf(&b, "St4pairIS%c_S%c_E", "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[MIN(i, 35)],
                 "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[MIN(i, 35)]);
    char *name = symbol_demangle(buf_cstr(&b));
    assert_true(name == NULL || strlen(name) < 1 << 17);
    free(name);
    static const char *const plain[] = {"",      "_",        "_Z", "_R", "_D", "main", "__Z", "_Zlonger than it is",
                                        "_RNvC", "?f@@YAXXZ"};
    for (size_t i = 0; i < ARRAY_SIZE(plain); i++)
        assert_null(symbol_demangle(plain[i]));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exported_symbols_are_where_the_loader_put_them),
        cmocka_unit_test(all_mappings_of_a_file_have_one_bias),
        cmocka_unit_test(thread_local_symbols_lie_where_they_say),
        cmocka_unit_test(inlined_calls_have_the_line_of_the_call),
        cmocka_unit_test(what_a_thread_loaded_is_the_same),
        cmocka_unit_test(names_that_were_forgotten_are_loaded_again),
        cmocka_unit_test(what_is_no_elf_file_is_refused_in_words),
        cmocka_unit_test(a_file_may_be_cut_short_while_it_is_read),
        cmocka_unit_test(a_string_that_lost_its_end_ends_after_the_file),
        cmocka_unit_test(only_what_is_not_loaded_may_be_compressed),
        cmocka_unit_test(broken_files_do_no_harm),
        cmocka_unit_test(opening_survives_every_failed_allocation),
        cmocka_unit_test(labels_end_where_their_sections_do),
        cmocka_unit_test(overlapping_ranges_give_way_to_what_starts_later),
        cmocka_unit_test(perf_maps_are_read_on_as_they_grow),
        cmocka_unit_test(maps_together_hold_no_more_than_their_limit),
        cmocka_unit_test(a_known_name_gives_way_to_what_is_written_later),
        cmocka_unit_test(a_map_that_is_written_anew_is_read_anew),
        cmocka_unit_test(a_map_that_is_written_for_ever_stays_small),
        cmocka_unit_test(later_lines_replace_what_they_overlap),
        cmocka_unit_test(a_target_s_own_map_is_found),
        cmocka_unit_test(kernel_functions_have_their_modules),
        cmocka_unit_test(a_kernel_that_hides_its_addresses_is_told_from_one_without),
        cmocka_unit_test(this_kernel_s_functions_are_found),
        cmocka_unit_test(names_that_explode_stay_as_they_are),
    };
    return RUN_TESTS(tests);
}
