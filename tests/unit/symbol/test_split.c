/* This program is built with -gsplit-dwarf: what is asked for is in its .dwo file. */
#include "../unit.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "symbol/dwo.h"
#include "symbol/symbol.h"

static const char *self(void) {
    static char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
    assert_true(n > 0);
    path[n] = '\0';
    return path;
}

static struct symbol_file *open_self(struct target *t) {
    struct symbol_file *f = NULL;
    struct symbol_search search = {.target = t};
    assert_int_equal(symbol_file_open(open(self(), O_RDONLY | O_CLOEXEC), self(), &search, &f, NULL), 0);
    return f;
}

static inline __attribute__((always_inline)) void *here(void) {
    void *at;
    __asm__ volatile("lea 0(%%rip), %0" : "=r"(at));
    return at;
}

static const uint32_t line_of_call = __LINE__ + 2;
__attribute__((noinline)) static uint64_t some_address(void) {
    void *address = (char *)here() - 1; /* the instruction itself */
    Dl_info info;
    assert_true(dladdr(address, &info));
    return (uint64_t)address - (uint64_t)info.dli_fbase;
}

static void check_call(struct symbol_file *f) {
    struct symbol_location at[SYMBOL_MAX_INLINES];
    assert_int_equal(symbol_file_lookup(f, some_address(), at, SYMBOL_MAX_INLINES), 2);
    assert_string_equal(at[0].name, "here");
    assert_true(at[0].inlined);
    assert_string_equal(at[1].name, "some_address");
    assert_int_equal(at[1].line, line_of_call);
    assert_int_equal(at[1].start_line, line_of_call - 1);
    assert_string_equal(strrchr(at[1].file, '/'), "/test_split.c");
}

static void inlined_calls_come_out_of_the_file_of_the_unit(void **state) {
    _cleanup_(symbol_file_closep) struct symbol_file *f = open_self(NULL);
    check_call(f);
}

/* It is looked for when an address is: the target may have ended by then. */
static void the_target_need_not_be_there_any_more(void **state) {
    struct target *t = NULL;
    assert_int_equal(target_open(getpid(), &t, NULL), 0);
    _cleanup_(symbol_file_closep) struct symbol_file *f = open_self(t);
    target_close(t);
    check_call(f);
}

static void what_was_given_back_is_opened_again(void **state) {
    _cleanup_(symbol_file_closep) struct symbol_file *f = open_self(NULL);
    size_t loose;
    for (unsigned i = 0; i < 6; i++) {
        check_call(f);
        assert_true(symbol_file_held(f, &loose) > loose);
        assert_true(loose > 0);
        symbol_file_forget(f, i % 2);
        symbol_file_held(f, &loose);
        assert_int_equal(loose, 0);
    }
}

/* An address that no unit lists makes all units be found anew, those that are split and open among them. */
static void units_are_found_anew_behind_one_that_is_open(void **state) {
    struct symbol_location at[SYMBOL_MAX_INLINES];
    struct symbol_range start;
    _cleanup_(symbol_file_closep) struct symbol_file *f = open_self(NULL);
    assert_int_equal(symbol_file_find(f, "_start", &start), 0);
    check_call(f);
    assert_int_equal(symbol_file_lookup(f, start.address, at, SYMBOL_MAX_INLINES), 1);
    assert_string_equal(at[0].name, "_start");
    check_call(f);
}

static void every_failed_allocation_is_survived(void **state) {
    struct symbol_location at[SYMBOL_MAX_INLINES];
    uint64_t address = some_address();
    size_t whole = 0;
    for (long n = 0; n < 400; n++) {
        struct symbol_file *f = NULL;
        mem_fail_after(n);
        int rc = symbol_file_open(open(self(), O_RDONLY | O_CLOEXEC), self(), NULL, &f, NULL);
        if (rc == 0) {
            symbol_file_lookup(f, address, at, SYMBOL_MAX_INLINES);
            symbol_file_forget(f, false);
            whole += symbol_file_lookup(f, address, at, SYMBOL_MAX_INLINES) == 2;
            symbol_file_close(f);
        } else {
            assert_int_equal(rc, -ENOMEM);
        }
        mem_fail_after(-1);
    }
    assert_true(whole > 0);
}

/* ---- packages ---- */

enum { SLOTS = 4, COLUMNS = 3, UNITS = 2 };

struct index {
    uint32_t version, columns, units, slots;
    uint64_t ids[SLOTS];
    uint32_t rows[SLOTS], sections[COLUMNS], offsets[UNITS][COLUMNS], sizes[UNITS][COLUMNS];
};

static const uint8_t bytes[100];

static struct dwo_file package_of(const struct index *index, size_t size) {
    struct dwo_file f = {0};
    for (size_t i = 0; i < DWO_SECTIONS; i++)
        f.parts.all[i] = (struct dwo_bytes){bytes, sizeof(bytes)};
    f.parts.all[DWO_INDEX] = (struct dwo_bytes){(const uint8_t *)index, size};
    return f;
}

static const struct index good = {
    .version = 5,
    .columns = COLUMNS,
    .units = UNITS,
    .slots = SLOTS,
    .ids = {[1] = 0x100000001, [2] = 0x100000005}, /* both want place 1 */
    .rows = {[1] = 2, [2] = 1},
    .sections = {1, 3, 8},
    .offsets = {{10, 0, 30}, {20, 50, 99}},
    .sizes = {{10, 50, 0}, {80, 50, 1}},
};

static void a_unit_is_found_by_its_id(void **state) {
    struct dwo_file f = package_of(&good, sizeof(good));
    struct dwo_parts p = {0};
    assert_true(dwo_package_find(&f, 0x100000001, &p));
    assert_ptr_equal(p.all[DWO_INFO].bytes, bytes + 20);
    assert_int_equal(p.all[DWO_INFO].size, 80);
    assert_ptr_equal(p.all[DWO_ABBREV].bytes, bytes + 50);
    assert_ptr_equal(p.all[DWO_RNGLISTS].bytes, bytes + 99);
    assert_int_equal(p.all[DWO_STR].size, sizeof(bytes)); /* of all together */
    assert_null(p.all[DWO_STR_OFFSETS].bytes);
    assert_true(dwo_package_find(&f, 0x100000005, &p));
    assert_ptr_equal(p.all[DWO_INFO].bytes, bytes + 10);
    assert_null(p.all[DWO_RNGLISTS].bytes);
    assert_false(dwo_package_find(&f, 0x100000009, &p));
    assert_false(dwo_package_find(&f, 0, &p));
    struct index old = good;
    old.version = 2; /* there column 8 was another one */
    f = package_of(&old, sizeof(old));
    assert_true(dwo_package_find(&f, 0x100000001, &p));
    assert_null(p.all[DWO_RNGLISTS].bytes);
}

static void a_broken_index_finds_nothing(void **state) {
    struct dwo_parts p = {0};
    for (size_t size = 0; size < offsetof(struct index, sizes) + sizeof(good.sizes); size++) {
        struct dwo_file f = package_of(&good, size);
        assert_false(dwo_package_find(&f, 0x100000001, &p));
    }
    for (unsigned i = 0; i < 8; i++) {
        struct index broken = good;
        uint32_t *const what[] = {&broken.version,       &broken.columns, &broken.slots,       &broken.units,
                                  &broken.offsets[1][0], &broken.rows[1], &broken.sizes[1][2], &broken.sections[0]};
        *what[i] = i == 2 ? 3 : 0xfffffff0;
        struct dwo_file f = package_of(&broken, sizeof(broken));
        assert_false(dwo_package_find(&f, 0x100000001, &p));
    }
    struct index full = good; /* without a free place the search must still end */
    for (size_t i = 0; i < SLOTS; i++) {
        full.ids[i] = i;
        full.rows[i] = 1;
    }
    struct dwo_file f = package_of(&full, sizeof(full));
    assert_false(dwo_package_find(&f, 0x100000001, &p));
    assert_null(p.all[DWO_INFO].bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inlined_calls_come_out_of_the_file_of_the_unit),
        cmocka_unit_test(the_target_need_not_be_there_any_more),
        cmocka_unit_test(what_was_given_back_is_opened_again),
        cmocka_unit_test(units_are_found_anew_behind_one_that_is_open),
        cmocka_unit_test(every_failed_allocation_is_survived),
        cmocka_unit_test(a_unit_is_found_by_its_id),
        cmocka_unit_test(a_broken_index_finds_nothing),
    };
    return RUN_TESTS(tests);
}
