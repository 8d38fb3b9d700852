/* Table memory: what was put in is found, also in files whose pages do not fit into one chunk. */
#include "../unit.h"

#include <errno.h>
#include <fcntl.h>

#include "base/mem.h"
#include "unwind/tables.h"

static const void *const *chunks;
static struct unwind_rule *shared_rules;

static const void *table_chunk(struct walk *w, u32 chunk) {
    return chunk < TABLE_MAX_CHUNKS ? chunks[chunk] : NULL;
}
static const struct unwind_rule *table_rules(struct walk *w) {
    return shared_rules;
}
static void table_want_page(struct walk *w, u32 page_at) {
}
#include "unwind/table_lookup.h"

/* A row at every `distance` of `bytes` of code, whose rule says which it is, modulo 1000. */
static void fill(struct cfi_rows *rows, u64 bytes, u64 distance) {
    for (u64 at = 0; at < bytes; at += distance) {
        struct unwind_rule rule = {.kind = RULE_CFA_REG, .cfa_reg = 7, .cfa_offset = (s32)(at / distance % 1000)};
        assert_int_equal(cfi_add_row(rows, at, cfi_rule(rows, &rule)), 0);
    }
}

static void assert_found(u64 bytes, u64 distance) {
    _cleanup_(cfi_rows_free) struct cfi_rows rows = {0};
    struct tables *t;
    struct tables_file file;
    shared_rules = mem_zalloc(TABLE_MAX_RULES, sizeof(*shared_rules));
    assert_non_null(shared_rules);
    fill(&rows, bytes, distance);
    assert_int_equal(tables_new(&(struct tables_memory){.rules = shared_rules}, &t), 0);
    assert_int_equal(tables_add_file(t, &rows, &file), 0);
    chunks = tables_chunks(t);
    const u64 bias = 0x7f0000000000;
    struct table_mapping m = {.start = bias, .end = bias + bytes, .bias = bias};
    m.pages_at = tables_file_pages_at(&file, 0);
    for (u64 at = 0; at < bytes; at += distance) {
        u64 address = bias + at + distance / 2, page = address & ~((1ull << TABLE_PAGE_SHIFT) - 1);
        struct walk_span span;
        u32 index = table_find_rule_index(NULL, &m, address, &span);
        assert_int_equal(table_rule(NULL, index)->cfa_offset, at / distance % 1000);
        assert_int_equal(span.start, MAX(bias + at, page));
        assert_int_equal(span.end, MIN(MIN(bias + at + distance, page + (1ull << TABLE_PAGE_SHIFT)), m.end));
    }
    tables_free(t);
    free(shared_rules);
}

static void every_row_is_found(void **state) {
    assert_found(3 << 20, 16);
}

static void files_of_more_code_than_one_chunk_has_pages_for_are_whole(void **state) {
    assert_found(700ull << 20, 5000);
}

static void more_code_than_can_call_itself_is_refused(void **state) {
    _cleanup_(cfi_rows_free) struct cfi_rows rows = {0};
    struct tables *t;
    struct tables_file file;
    shared_rules = mem_zalloc(TABLE_MAX_RULES, sizeof(*shared_rules));
    assert_non_null(shared_rules);
    fill(&rows, (3ull << 30) + 1, 3ull << 30);
    assert_int_equal(tables_new(&(struct tables_memory){.rules = shared_rules}, &t), 0);
    assert_int_equal(tables_add_file(t, &rows, &file), -ENOMEM);
    tables_free(t);
    free(shared_rules);
}

/* ---- giving back ---- */

static struct tables *new_tables(void) {
    struct tables *t;
    shared_rules = mem_zalloc(TABLE_MAX_RULES, sizeof(*shared_rules));
    assert_non_null(shared_rules);
    assert_int_equal(tables_new(&(struct tables_memory){.rules = shared_rules}, &t), 0);
    chunks = tables_chunks(t);
    return t;
}

static void free_tables(struct tables *t) {
    tables_free(t);
    free(shared_rules);
}

/* Every row of a file of `fill()` is what it was, whatever else came and went. */
static void assert_rows(const struct tables_file *file, u64 bytes, u64 distance) {
    struct table_mapping m = {.end = bytes, .pages_at = tables_file_pages_at(file, 0)};
    for (u64 at = 0; at < bytes; at += distance) {
        const struct unwind_rule *rule = table_find_rule(NULL, &m, at);
        assert_non_null(rule);
        assert_int_equal(rule->cfa_offset, at / distance % 1000);
    }
}

static void memory_of_files_that_went_is_used_again(void **state) {
    enum { MANY = 200, BYTES = 1 << 20, DISTANCE = 64 };
    _cleanup_(cfi_rows_free) struct cfi_rows rows = {0}, others = {0};
    struct tables *t = new_tables();
    struct tables_file stays, file;
    fill(&rows, BYTES, DISTANCE);
    fill(&others, BYTES - 77777, 50);
    assert_int_equal(tables_add_file(t, &rows, &stays), 0);
    for (unsigned i = 0; i < MANY; i++) {
        assert_int_equal(tables_add_file(t, i % 2 ? &rows : &others, &file), 0);
        if (i % 2)
            assert_rows(&file, BYTES, DISTANCE);
        tables_remove_file(t, &file);
        tables_reclaim(t);
    }
    struct tables_statistics s = tables_statistics(t);
    assert_true(s.chunks <= 6);
    assert_int_equal(s.pages, stays.n_pages);
    assert_rows(&stays, BYTES, DISTANCE);
    free_tables(t);
}

/* 300 MB of code have more pages than fit into one chunk. */
static void memory_of_large_files_that_went_is_used_again(void **state) {
    const u64 bytes = 300ull << 20, distance = 1 << 20;
    _cleanup_(cfi_rows_free) struct cfi_rows rows = {0}, many = {0};
    struct tables *t = new_tables();
    struct tables_file stays, file;
    fill(&rows, bytes, distance);
    fill(&many, 4 << 20, 16);
    assert_int_equal(tables_add_file(t, &rows, &stays), 0);
    for (unsigned i = 0; i < 40; i++) { /* in turn: a chunk of pages becomes one of rows, and back */
        assert_int_equal(tables_add_file(t, i % 2 ? &rows : &many, &file), 0);
        assert_rows(&file, i % 2 ? bytes : 4 << 20, i % 2 ? distance : 16);
        tables_remove_file(t, &file);
        tables_reclaim(t);
        tables_reclaim(t);
    }
    assert_true(tables_statistics(t).chunks <= 10);
    assert_rows(&stays, bytes, distance);
    free_tables(t);
}

/* Memory of which there are `left` chunks more. */
struct scarce {
    unsigned left;
};

static void *scarce_chunk(void *ctx, u32 index) {
    struct scarce *s = ctx;
    return s->left && s->left-- ? mem_zalloc(1, TABLE_CHUNK_BYTES) : NULL;
}

static void free_scarce(void *ctx, u32 index, void *chunk) {
    free(chunk);
}

static void what_does_not_fit_takes_nothing(void **state) {
    _cleanup_(cfi_rows_free) struct cfi_rows large = {0}, small = {0};
    struct scarce memory = {.left = 2};
    struct tables *t;
    struct tables_file file;
    shared_rules = mem_zalloc(TABLE_MAX_RULES, sizeof(*shared_rules));
    assert_non_null(shared_rules);
    struct tables_memory from = {scarce_chunk, free_scarce, &memory, shared_rules};
    assert_int_equal(tables_new(&from, &t), 0);
    chunks = tables_chunks(t);
    fill(&large, 700ull << 20, 1 << 20);
    fill(&small, 1 << 20, 64);
    assert_int_equal(tables_add_file(t, &large, &file), -ENOMEM);
    assert_int_equal(memory.left, 0);
    assert_int_equal(tables_add_file(t, &small, &file), 0);
    assert_rows(&file, 1 << 20, 64);
    free_tables(t);
}

static void a_walk_under_way_still_finds_what_went(void **state) {
    enum { BYTES = 1 << 20, DISTANCE = 64 };
    _cleanup_(cfi_rows_free) struct cfi_rows rows = {0}, others = {0};
    struct tables *t = new_tables();
    struct tables_file went, file;
    fill(&rows, BYTES, DISTANCE);
    fill(&others, BYTES, 2 * DISTANCE);
    assert_int_equal(tables_add_file(t, &rows, &went), 0);
    tables_remove_file(t, &went);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(tables_add_file(t, &others, &file), 0);
        assert_rows(&went, BYTES, DISTANCE);
        tables_reclaim(t);
    }
    assert_int_equal(tables_add_file(t, &others, &file), 0);
    assert_int_equal(file.pages_at, went.pages_at);
    free_tables(t);
}

static void lists_of_mappings_come_and_go(void **state) {
    struct tables *t = new_tables();
    struct table_mapping list[TABLE_MAX_MAPPINGS / 4] = {0};
    u32 at[8] = {0}, count[8] = {0};
    for (unsigned i = 0; i < 5000; i++) {
        unsigned slot = i * 7 % 8;
        tables_retire_mappings(t, at[slot], count[slot]);
        count[slot] = 1 + i * 131 % ARRAY_SIZE(list);
        assert_int_equal(tables_publish_mappings(t, list, count[slot], &at[slot]), 0);
        assert_int_equal(at[slot] / TABLE_MAPPINGS_PER_CHUNK, (at[slot] + count[slot] - 1) / TABLE_MAPPINGS_PER_CHUNK);
        if (i % 3 == 0)
            tables_reclaim(t);
    }
    assert_true(tables_statistics(t).chunks <= 8);
    free_tables(t);
}

static void pages_on_demand_are_empty_until_they_are_wanted(void **state) {
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    struct symbol_file *f = NULL;
    assert_int_equal(symbol_file_open(fd, "/proc/self/exe", NULL, &f, NULL), 0);
    if (!cfi_has_index(f)) {
        symbol_file_close(f);
        skip();
    }
    struct tables *t = new_tables();
    struct tables_file file;
    struct symbol_code code;
    assert_int_equal(symbol_file_code(f, &code), 0);
    assert_int_equal(tables_add_file_lazily(t, f, 2, &file), 0);
    struct table_mapping m = {.start = code.start, .end = code.end, .pages_at = file.pages_at};
    struct walk_span span;
    assert_int_equal(table_find_rule_index(NULL, &m, code.start, &span), TABLE_RULE_LATER);
    assert_int_equal(tables_statistics(t).rows, 0);
    for (u32 i = 0; i < file.n_pages; i++)
        tables_want_page(t, file.pages_at + i);
    assert_int_equal(tables_statistics(t).fills, (file.n_pages + 1) / 2);
    assert_int_not_equal(table_find_rule_index(NULL, &m, code.start, &span), TABLE_RULE_LATER);
    tables_remove_file(t, &file);
    assert_int_equal(tables_statistics(t).rows, 0);
    tables_want_page(t, file.pages_at); /* of nobody any more */
    free_tables(t);
    symbol_file_close(f);
}

static void call_frames_that_never_end_are_given_up(void **state) {
    struct cfi_rows rows = {0};
    u64 n = 0;
    while (n < 64u << 20 && cfi_add_row(&rows, n, n & 1) == 0)
        n++;
    assert_in_range(n, 2 << 20, 32 << 20); /* more than any file has, and no more than 256 MB */
    cfi_rows_free(&rows);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_found),
        cmocka_unit_test(files_of_more_code_than_one_chunk_has_pages_for_are_whole),
        cmocka_unit_test(more_code_than_can_call_itself_is_refused),
        cmocka_unit_test(memory_of_files_that_went_is_used_again),
        cmocka_unit_test(memory_of_large_files_that_went_is_used_again),
        cmocka_unit_test(what_does_not_fit_takes_nothing),
        cmocka_unit_test(a_walk_under_way_still_finds_what_went),
        cmocka_unit_test(lists_of_mappings_come_and_go),
        cmocka_unit_test(pages_on_demand_are_empty_until_they_are_wanted),
        cmocka_unit_test(call_frames_that_never_end_are_given_up),
    };
    return RUN_TESTS(tests);
}
