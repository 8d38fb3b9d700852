/* Compressed sections: read in parts, broken ones told, and .debug_info no further than it is wanted. */
#include "elf_files.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "symbol/dwarf_aranges.h"
#include "symbol/internal.h"

enum { ELFCOMPRESS_OF_ZSTD = 2, SIZE = 700000 };

/* Like debug information: short runs that come again, and a little chance. */
static void fill(uint8_t *to, size_t n, unsigned seed) {
    srandom(seed);
    for (size_t i = 0; i < n; i++)
        to[i] = i > 4096 && random() % 16 ? to[i - 64 - (i / 512) % 3000] : (uint8_t)(random() % 40);
}

static uint8_t *zlib_of(const uint8_t *plain, size_t n, int level, size_t *ret_size) {
    uLongf size = compressBound(n);
    uint8_t *to = malloc(size);
    assert_int_equal(compress2(to, &size, plain, n, level), Z_OK);
    *ret_size = size;
    return to;
}

static uint8_t *zstd_of(const uint8_t *plain, size_t n, int level, size_t *ret_size) {
    size_t room = ZSTD_compressBound(n);
    uint8_t *to = malloc(room);
    *ret_size = ZSTD_compress(to, room, plain, n, level);
    assert_false(ZSTD_isError(*ret_size));
    return to;
}

static struct packed packed_as(uint32_t how, const uint8_t *plain, size_t n, int level) {
    struct packed p = {.how = how, .plain = n};
    p.bytes = how == ELFCOMPRESS_ZLIB ? zlib_of(plain, n, level, &p.size) : zstd_of(plain, n, level, &p.size);
    return p;
}

static const uint32_t ways[] = {ELFCOMPRESS_ZLIB, ELFCOMPRESS_OF_ZSTD};

static void parts_are_what_the_whole_was(void **state) {
    uint8_t *plain = malloc(SIZE), *to = malloc(SIZE);
    (void)state;
    for (unsigned round = 0; round < 24; round++) {
        fill(plain, SIZE, round);
        struct packed p = packed_as(ways[round % 2], plain, SIZE, round % 4 ? 6 : 1);
        struct packed_stream *s;
        memset(to, 0, SIZE);
        assert_int_equal(packed_stream_open(&p, &s), 0);
        for (size_t at = 0, n; at < SIZE; at += n) {
            n = 1 + (size_t)random() % (round < 4 ? 90 : 200000);
            n = MIN(n, SIZE - at);
            assert_true(packed_stream_read(s, to + at, n));
            assert_memory_equal(to + at, plain + at, n);
        }
        assert_true(packed_stream_ended(s));
        assert_false(packed_stream_read(s, to, 1)); /* there is no more */
        packed_stream_close(s);
        free((void *)(uintptr_t)p.bytes);
    }
    free(plain);
    free(to);
}

/* Whether a stream gives so many bytes, and no more. */
static bool gives(const struct packed *p, size_t n) {
    uint8_t *to = malloc(n);
    struct packed_stream *s;
    assert_int_equal(packed_stream_open(p, &s), 0);
    bool good = packed_stream_read(s, to, n) && packed_stream_ended(s);
    packed_stream_close(s);
    free(to);
    return good;
}

static void what_is_not_as_it_says_is_told(void **state) {
    uint8_t *plain = malloc(SIZE);
    (void)state;
    fill(plain, SIZE, 3);
    for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
        struct packed p = packed_as(ways[i], plain, SIZE, 6);
        assert_true(gives(&p, SIZE));
        assert_false(gives(&p, SIZE - 1)); /* there is more */
        assert_false(gives(&p, SIZE + 1));
        struct packed cut = p;
        cut.size /= 2;
        assert_false(gives(&cut, SIZE));
        cut.size = p.size - 1; /* zlib: of the checksum */
        assert_false(gives(&cut, SIZE));
        cut.size = 0;
        assert_false(gives(&cut, SIZE));
        if (ways[i] == ELFCOMPRESS_ZLIB) {
            ((uint8_t *)(uintptr_t)p.bytes)[p.size - 1] ^= 1;
            assert_false(gives(&p, SIZE));
        }
        free((void *)(uintptr_t)p.bytes);
    }
    struct packed_stream *s;
    assert_int_equal(packed_stream_open(&(struct packed){.how = 77, .bytes = plain, .size = 9, .plain = 9}, &s),
                     -EBADMSG);
    mem_fail_after(0);
    assert_int_equal(packed_stream_open(&(struct packed){.how = ELFCOMPRESS_ZLIB}, &s), -ENOMEM);
    mem_fail_after(-1);
    packed_stream_close(NULL);
    free(plain);
}

/* Bytes that end where the next page cannot be touched. */
static uint8_t *before_the_edge(size_t n) {
    size_t pages = (n + 4095) / 4096 * 4096;
    uint8_t *p = mmap(NULL, pages + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(p, MAP_FAILED);
    assert_int_equal(mprotect(p + pages, 4096, PROT_NONE), 0);
    return p + pages - n;
}

/* Breaks a stream in some places, and reads it in parts. */
static void read_broken(const struct packed *p, uint8_t *in, uint8_t *out, unsigned round) {
    size_t cut = round % 3 ? p->size : (size_t)random() % p->size, most = round % 2 ? cut : MIN(cut, (size_t)200);
    uint8_t *to = in + p->size - cut;
    memcpy(to, p->bytes, cut);
    for (unsigned k = 0; k < 1 + round % 9 && cut; k++)
        to[(size_t)random() % most] ^= (uint8_t)(1 << random() % 8);
    struct packed broken = {.how = p->how, .bytes = to, .size = cut, .plain = p->plain};
    struct packed_stream *s;
    size_t n = round % 4 ? p->plain : 1 + (size_t)random() % p->plain;
    assert_int_equal(packed_stream_open(&broken, &s), 0);
    for (unsigned k = 0; k < 100 && packed_stream_read(s, out + p->plain - n, n); k++)
        ;
    (void)packed_stream_ended(s);
    assert_false(packed_stream_read(s, out, 1) && packed_stream_read(s, out, 1) && packed_stream_ended(s));
    packed_stream_close(s);
}

/* Sanitizers do not see into the library's assembly: pages do. Long streams have tables of their own for their codes,
 * short ones those of the format, and without compression there are none. */
static void broken_streams_touch_nothing_else(void **state) {
    static const size_t sizes[] = {40000, 60};
    static const int levels[] = {0, 1, 9};
    uint8_t plain[40000];
    (void)state;
    fill(plain, sizeof(plain), 5);
    for (size_t i = 0; i < ARRAY_SIZE(ways) * ARRAY_SIZE(sizes) * ARRAY_SIZE(levels); i++) {
        size_t n = sizes[i / 2 % 2];
        struct packed p = packed_as(ways[i % 2], plain, n, levels[i / 4]);
        uint8_t *in = before_the_edge(p.size), *out = before_the_edge(n);
        for (unsigned round = 0; round < 1000; round++)
            read_broken(&p, in, out, round);
        free((void *)(uintptr_t)p.bytes);
    }
}

/* ---- how far ---- */

enum { UNITS = 40, UNIT_BYTES = 50000, INFO_BYTES = UNITS * UNIT_BYTES, CODE_AT = 0x1000, CODE_BYTES = 0x100 };

/* Unit i has the code at CODE_AT + i * CODE_BYTES. DWARF 5 §6.1.2, in its 32-bit format. */
static void append_unit(struct buf *b, uint32_t unit, uint64_t low, uint64_t size) {
    const uint32_t length = 44;
    const uint16_t version = 2;
    const uint8_t sizes[2] = {8, 0}, pad[4] = {0};
    const uint64_t ranges[4] = {low, size, 0, 0};
    buf_add(b, &length, 4);
    buf_add(b, &version, 2);
    buf_add(b, &unit, 4);
    buf_add(b, sizes, 2);
    buf_add(b, pad, 4);
    buf_add(b, ranges, sizeof(ranges));
}

static void list_units(struct buf *b) {
    for (uint32_t i = 0; i < UNITS; i++)
        append_unit(b, i * UNIT_BYTES, CODE_AT + i * CODE_BYTES, CODE_BYTES);
}

static uint64_t reach(const struct buf *b, const uint64_t *addresses, size_t n) {
    return dwarf_aranges_reach((const uint8_t *)b->data, b->len, addresses, n);
}

static void units_reach_as_far_as_they_are_listed(void **state) {
    _cleanup_(buf_free) struct buf b = {0};
    uint64_t many[DWARF_MAX_REACH + 1];
    (void)state;
    list_units(&b);
    assert_int_equal(reach(&b, NULL, 0), 0);
    for (uint64_t i = 0; i + 1 < UNITS; i++)
        for (uint64_t k = 0; k < 2; k++) {
            uint64_t places[] = {CODE_AT, CODE_AT + i * CODE_BYTES + k * (CODE_BYTES - 1)};
            assert_int_equal(reach(&b, places, 2), (i + 1) * UNIT_BYTES);
        }
    assert_int_equal(reach(&b, (uint64_t[]){CODE_AT + (UNITS - 1) * CODE_BYTES}, 1),
                     UINT64_MAX);                                                   /* the last one's end */
    assert_int_equal(reach(&b, (uint64_t[]){CODE_AT - 1, CODE_AT}, 2), UINT64_MAX); /* is not listed */
    assert_int_equal(reach(&b, (uint64_t[]){CODE_AT, CODE_AT + UNITS * CODE_BYTES}, 2), UINT64_MAX);
    for (size_t i = 0; i < ARRAY_SIZE(many); i++)
        many[i] = CODE_AT;
    assert_int_equal(reach(&b, many, DWARF_MAX_REACH), UNIT_BYTES);
    assert_int_equal(reach(&b, many, DWARF_MAX_REACH + 1), UINT64_MAX);
    assert_int_equal(dwarf_aranges_reach(NULL, 0, many, 1), UINT64_MAX);
    assert_int_equal(dwarf_aranges_reach((const uint8_t *)b.data, 47, many, 1), UINT64_MAX); /* cut short */
}

/* In no order, and with every range over every address: no longer than it is worth. */
static void lists_may_be_in_any_order(void **state) {
    _cleanup_(buf_free) struct buf b = {0}, hostile = {0};
    uint64_t many[DWARF_MAX_REACH];
    (void)state;
    append_unit(&b, 3000, 0x5000, 0x10);
    append_unit(&b, 1000, 0x6000, 0x10);
    append_unit(&b, 2000, 0x4000, 0x10);
    assert_int_equal(reach(&b, (uint64_t[]){0x6008}, 1), 2000);
    assert_int_equal(reach(&b, (uint64_t[]){0x4000, 0x6008}, 2), 3000);
    assert_int_equal(reach(&b, (uint64_t[]){0x5000}, 1), UINT64_MAX);
    for (size_t i = 0; i < ARRAY_SIZE(many); i++)
        many[i] = 0x4000 + i;
    for (uint32_t i = 0; i < 100000; i++)
        append_unit(&hostile, i, 0x1000, 0x100000);
    assert_int_equal(reach(&hostile, many, ARRAY_SIZE(many)), UINT64_MAX);
}

/* ---- a file ---- */

enum { ABBREV_BYTES = 300000, CHUNK_OF_OURS = 128 << 10 };

static char folder[64], source[80];

static void add_section(struct buf *file, struct buf *names, Elf64_Shdr *s, const char *name, const void *plain,
                        size_t n) {
    struct packed p = packed_as(ELFCOMPRESS_ZLIB, plain, n, 6);
    Elf64_Chdr h = {.ch_type = ELFCOMPRESS_ZLIB, .ch_size = n, .ch_addralign = 1};
    *s = (Elf64_Shdr){.sh_name = (Elf64_Word)names->len,
                      .sh_type = SHT_PROGBITS,
                      .sh_flags = SHF_COMPRESSED,
                      .sh_offset = file->len,
                      .sh_size = sizeof(h) + p.size,
                      .sh_addralign = 1};
    buf_add(names, name, strlen(name) + 1);
    buf_add(file, &h, sizeof(h));
    buf_add(file, p.bytes, p.size);
    free((void *)(uintptr_t)p.bytes);
}

static uint8_t info[INFO_BYTES], abbrev[ABBREV_BYTES];

/* Writes a file of three compressed sections, and maps it. */
static struct elf_image make_source(bool listed) {
    _cleanup_(buf_free) struct buf file = {0}, names = {0}, ranges = {0};
    Elf64_Shdr s[5] = {{0}};
    Elf64_Ehdr h = elf_header(0, 5);
    list_units(&ranges);
    buf_add(&file, &h, sizeof(h));
    buf_add(&names, "", 1);
    add_section(&file, &names, &s[1], ".debug_info", info, sizeof(info));
    add_section(&file, &names, &s[2], listed ? ".debug_aranges" : ".debug_others", ranges.data, ranges.len);
    add_section(&file, &names, &s[3], ".debug_abbrev", abbrev, sizeof(abbrev));
    s[4] = (Elf64_Shdr){.sh_name = (Elf64_Word)names.len, .sh_type = SHT_STRTAB, .sh_offset = file.len};
    buf_add(&names, ".shstrtab", 10);
    s[4].sh_size = names.len;
    buf_add(&file, names.data, names.len);
    h.e_shoff = file.len;
    buf_add(&file, s, sizeof(s));
    memcpy(file.data, &h, sizeof(h));
    return elf_map_new(source, file.data, file.len);
}

static int begin(void **state) {
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/test-inflate-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(source, sizeof(source), "%s/source", folder);
    fill(info, sizeof(info), 11);
    memset(abbrev, 1, sizeof(abbrev));
    return setenv("SCRY_CACHE", folder, 1);
}

static int forget(void **state) {
    (void)state;
    char kept[80];
    snprintf(kept, sizeof(kept), "%s/debug", folder);
    return remove_all(kept);
}

static int end(void **state) {
    (void)state;
    return remove_all(folder);
}

/* How much of .debug_info there is; it must be what it was. 0: none. */
static size_t info_in(const struct dwarf_plain *p) {
    size_t n = 0;
    const Elf64_Shdr *s = elf_image_section(&p->image, ".debug_info");
    const uint8_t *bytes = s ? elf_image_bytes(&p->image, s, &n) : NULL;
    if (bytes)
        assert_memory_equal(bytes, info, n);
    assert_int_equal(p->partial, s && n < sizeof(info));
    return n;
}

/* Inflates as much as units up to the one given take, or any place. */
static size_t inflated(const struct elf_image *e, uint64_t place, bool whole) {
    struct dwarf_wanted wanted = {.addresses = &place, .count = 1, .known = place != 0};
    struct dwarf_plain p;
    assert_int_equal(dwarf_inflate(e, &wanted, whole, &p), 0);
    size_t n = info_in(&p);
    elf_image_close(&p.image);
    return n;
}

static uint64_t place_in(unsigned unit) {
    return CODE_AT + unit * CODE_BYTES + 5;
}

static void no_more_is_inflated_than_is_wanted(void **state) {
    struct elf_image e = make_source(true);
    static const struct {
        unsigned unit;
        size_t least, most;
    } cases[] = {
        {0, INFO_BYTES / 4, INFO_BYTES / 4 + CHUNK_OF_OURS},
        {12, INFO_BYTES / 2, INFO_BYTES / 2 + CHUNK_OF_OURS},
        {28, INFO_BYTES / 4 * 3, INFO_BYTES / 4 * 3 + CHUNK_OF_OURS},
        {35, INFO_BYTES, INFO_BYTES},
        {UNITS - 1, INFO_BYTES, INFO_BYTES},
        {UNITS + 9, INFO_BYTES, INFO_BYTES}, /* is in none of them */
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        forget(state);
        size_t n = inflated(&e, place_in(cases[i].unit), false);
        assert_in_range(n, cases[i].least, cases[i].most);
        assert_in_range(n, (cases[i].unit + 1) * UNIT_BYTES < INFO_BYTES ? (cases[i].unit + 1) * UNIT_BYTES : 0,
                        INFO_BYTES);
        assert_int_equal(inflated(&e, 0, false), n); /* that was kept */
        assert_int_equal(inflated(&e, place_in(0), true), INFO_BYTES);
        assert_int_equal(inflated(&e, place_in(0), false), INFO_BYTES); /* and now that */
    }
    forget(state);
    assert_int_equal(inflated(&e, 0, false), INFO_BYTES); /* it never came to be known */
    elf_image_close(&e);
}

static void where_no_end_is_known_all_is_inflated(void **state) {
    struct elf_image e = make_source(false);
    forget(state);
    assert_int_equal(inflated(&e, place_in(0), false), INFO_BYTES);
    elf_image_close(&e);
    /* An entry may refer to one behind it; a pair that says so may lie across two of our chunks. */
    static const uint8_t pairs[][2] = {{0x31, 0x10}, {0x47, 0x10}, {0x31, 0x20}, {0x47, 0x20}};
    static const size_t places[] = {0, 1000, CHUNK_OF_OURS - 1, CHUNK_OF_OURS, ABBREV_BYTES - 2};
    for (size_t i = 0; i < ARRAY_SIZE(pairs); i++)
        for (size_t k = 0; k < ARRAY_SIZE(places); k++) {
            memcpy(abbrev + places[k], pairs[i], 2);
            e = make_source(true);
            forget(state);
            assert_int_equal(inflated(&e, place_in(0), false), INFO_BYTES);
            elf_image_close(&e);
            memset(abbrev, 1, sizeof(abbrev));
        }
    abbrev[ABBREV_BYTES - 1] = 0x31; /* nothing follows */
    e = make_source(true);
    forget(state);
    assert_in_range(inflated(&e, place_in(0), false), INFO_BYTES / 4, INFO_BYTES / 2);
    elf_image_close(&e);
    abbrev[ABBREV_BYTES - 1] = 1;
}

static void what_is_broken_is_left_out_and_not_kept(void **state) {
    struct elf_image e = make_source(true);
    char path[128];
    const Elf64_Shdr *s = elf_image_section(&e, ".debug_info");
    int fd = open(source, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "\xff\xff\xff\xff\xff\xff\xff\xff", 8, (off_t)(s->sh_offset + s->sh_size / 2)), 8);
    close(fd);
    elf_image_close(&e);
    e = elf_map(source);
    forget(state);
    struct dwarf_plain p;
    assert_int_equal(dwarf_inflate(&e, NULL, false, &p), 0);
    assert_null(elf_image_section(&p.image, ".debug_info"));
    assert_non_null(elf_image_section(&p.image, ".debug_abbrev"));
    assert_false(p.partial);
    elf_image_close(&p.image);
    snprintf(path, sizeof(path), "%s/debug", folder);
    assert_int_equal(rmdir(path), 0); /* it is empty */
    elf_image_close(&e);
}

static void without_room_on_the_disk_it_is_in_memory(void **state) {
    struct elf_image e = make_source(true);
    struct rlimit before, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 1 << 20;
    signal(SIGXFSZ, SIG_IGN);
    forget(state);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    struct dwarf_plain p;
    assert_int_equal(dwarf_inflate(&e, NULL, false, &p), 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_true(p.image.owned);
    assert_int_equal(info_in(&p), INFO_BYTES);
    elf_image_close(&p.image);
    elf_image_close(&e);
}

static void memory_may_fail(void **state) {
    struct elf_image e = make_source(true);
    uint64_t place = place_in(0);
    struct dwarf_wanted wanted = {.addresses = &place, .count = 1, .known = true};
    unsigned failed = 0;
    for (long n = 0; n < 40; n++) {
        struct dwarf_plain p;
        forget(state);
        mem_fail_after(n);
        int rc = dwarf_inflate(&e, n % 2 ? &wanted : NULL, false, &p);
        mem_fail_after(-1);
        failed += rc < 0;
        if (rc == 0) {
            assert_true(info_in(&p) >= INFO_BYTES / 4);
            elf_image_close(&p.image);
        } else
            assert_int_equal(rc, -ENOMEM);
    }
    assert_in_range(failed, 2, 30);
    elf_image_close(&e);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_are_what_the_whole_was),
        cmocka_unit_test(what_is_not_as_it_says_is_told),
        cmocka_unit_test(broken_streams_touch_nothing_else),
        cmocka_unit_test(units_reach_as_far_as_they_are_listed),
        cmocka_unit_test(lists_may_be_in_any_order),
        cmocka_unit_test_setup_teardown(no_more_is_inflated_than_is_wanted, begin, end),
        cmocka_unit_test_setup_teardown(where_no_end_is_known_all_is_inflated, begin, end),
        cmocka_unit_test_setup_teardown(what_is_broken_is_left_out_and_not_kept, begin, end),
        cmocka_unit_test_setup_teardown(without_room_on_the_disk_it_is_in_memory, begin, end),
        cmocka_unit_test_setup_teardown(memory_may_fail, begin, end),
    };
    return RUN_TESTS(tests);
}
