/* Table memory: what was put in is found, also in files whose pages do not fit into one chunk. */
#include "../unit.h"

#include <errno.h>

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
        const struct unwind_rule *rule = table_find_rule(NULL, &m, bias + at + distance / 2);
        assert_non_null(rule);
        assert_int_equal(rule->cfa_offset, at / distance % 1000);
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_found),
        cmocka_unit_test(files_of_more_code_than_one_chunk_has_pages_for_are_whole),
        cmocka_unit_test(more_code_than_can_call_itself_is_refused),
    };
    return RUN_TESTS(tests);
}
