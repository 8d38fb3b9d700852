/* The log of what processes mapped, and what it says of stacks that were walked meanwhile. */
#include "../unit.h"

#include <errno.h>
#include <stdlib.h>

#include "session/mapped.h"

static void add(struct mapped_log *log, u32 type, u32 pid, uint64_t time, uint64_t start, uint64_t end,
                const char *path) {
    struct cpu_mapped m = {.head = {.type = type, .tgid = pid, .time_ns = time}, .start = start, .end = end};
    m.inode = start ^ 77;
    snprintf(m.path, sizeof(m.path), "%s", path);
    assert_int_equal(mapped_log_add(log, &m), 0);
}

static void map(struct mapped_log *log, u32 pid, uint64_t time, uint64_t start, uint64_t end, const char *path) {
    add(log, CPU_RECORD_MAP, pid, time, start, end, path);
}

static void exec(struct mapped_log *log, u32 pid, uint64_t time) {
    add(log, CPU_RECORD_NEW_IMAGE, pid, time, 0, 0, "");
}

static void assert_paths(const struct mapped_log *log, u32 pid, uint64_t time, const char *expected) {
    struct target_mapping *list = NULL;
    size_t n = 0;
    uint64_t since;
    char text[256] = "";
    assert_int_equal(mapped_log_list(log, pid, time, &list, &n, &since), 0);
    for (size_t i = 0; i < n; i++) {
        assert_true(i == 0 || list[i - 1].end <= list[i].start);
        strcat(text, list[i].path);
    }
    assert_string_equal(text, expected);
    free(list);
}

static void a_process_has_what_it_mapped_since_its_last_exec(void **state) {
    (void)state;
    struct mapped_log log = {0};
    exec(&log, 7, 100);
    map(&log, 7, 101, 0x1000, 0x2000, "/old");
    exec(&log, 7, 200);
    map(&log, 7, 203, 0x9000, 0xa000, "/c"); /* another CPU's ring was read first */
    map(&log, 7, 201, 0x1000, 0x2000, "/a");
    map(&log, 8, 202, 0x3000, 0x4000, "/other");
    map(&log, 7, 202, 0x5000, 0x6000, "/b");
    assert_paths(&log, 7, 1000, "/a/b/c");
    assert_paths(&log, 7, 202, "/a/b/c");
    assert_paths(&log, 7, 150, "/old");
    mapped_log_free(&log);
}

static void what_is_mapped_later_covers_what_was_there(void **state) {
    (void)state;
    struct mapped_log log = {0};
    exec(&log, 7, 1);
    map(&log, 7, 2, 0x1000, 0x2000, "/a");
    map(&log, 7, 3, 0x2000, 0x3000, "/b");
    map(&log, 7, 4, 0x3000, 0x4000, "/c");
    map(&log, 7, 5, 0x1800, 0x2800, "/over");
    assert_paths(&log, 7, 9, "/over/c");
    mapped_log_free(&log);
}

static void a_process_whose_exec_was_not_seen_is_not_guessed_at(void **state) {
    (void)state;
    struct mapped_log log = {0};
    struct target_mapping *list;
    size_t n;
    uint64_t since;
    assert_int_equal(mapped_log_list(&log, 7, 9, &list, &n, &since), -ENOENT);
    map(&log, 7, 2, 0x1000, 0x2000, "/library");
    assert_int_equal(mapped_log_list(&log, 7, 9, &list, &n, &since), -ENOENT);
    assert_false(mapped_new_image(&log, 8, 0, 9));
    exec(&log, 8, 3);
    assert_true(mapped_new_image(&log, 8, 0, 9));
    assert_false(mapped_new_image(&log, 8, 3, 9));
    assert_false(mapped_new_image(&log, 8, 0, 2));
    for (unsigned i = 0; i < MAPPED_EVENTS; i++)
        map(&log, 8, 4 + i, 0x1000, 0x2000, "/many");
    assert_int_equal(mapped_log_list(&log, 8, 1 << 20, &list, &n, &since), -ENOENT); /* its exec was forgotten */
    assert_false(mapped_new_image(&log, 8, 0, 9));
    mapped_log_free(&log);
}

/* ---- trust ---- */

enum { LIBRARY = 0x10000, MAIN = 0x400000 };

static struct session_file file_a = {.inode = LIBRARY ^ 77}, file_b = {.inode = LIBRARY ^ 77}, program = {.inode = 5};
static struct process_code code_before[] = {{LIBRARY, LIBRARY + 0x1000, 0, LIBRARY, &file_a},
                                            {MAIN, MAIN + 0x1000, 0, MAIN, &program}};
static struct process_code code_now[] = {{LIBRARY, LIBRARY + 0x1000, 0, LIBRARY, &file_b},
                                         {MAIN, MAIN + 0x1000, 0, MAIN, &program}};

static struct session_process process_that_changed(void) {
    return (struct session_process){.pid = 7,
                                    .past = {{.code = code_before, .count = 2}},
                                    .now = {.code = code_now, .count = 2, .since_ns = 100, .published_ns = 200}};
}

/* A leaf in the library, called from the program. */
static struct walk_stack *stack_through_library(void) {
    struct walk_stack *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    w->n_streams = 1;
    w->n_frames = 2;
    w->streams[0] = (struct walk_stream){.total = 2, .leaf_capacity = 16, .root_capacity = 16};
    w->frames[0] = (struct raw_frame){{(u64)RAW_NATIVE << 56 | (LIBRARY + 0x10), RAW_EXACT}};
    w->frames[1] = (struct raw_frame){{(u64)RAW_NATIVE << 56 | (MAIN + 0x20), 0}};
    return w;
}

static void a_walk_by_the_list_before_is_trusted_up_to_the_new_code(void **state) {
    (void)state;
    struct mapped_log log = {0};
    struct session_process p = process_that_changed();
    struct walk_stack *w = stack_through_library();
    map(&log, 7, 100, LIBRARY, LIBRARY + 0x1000, "/b");
    struct assemble_trust t = mapped_trust(&log, &p, w, 150, false);
    assert_int_equal(t.certain, 1); /* its own name is right; who called it was read by the other's table */
    assert_false(t.lost);
    assert_int_equal(mapped_trust(&log, &p, w, 150, true).certain, UINT32_MAX);
    assert_int_equal(mapped_trust(&log, &p, w, 99, false).certain, UINT32_MAX);
    assert_int_equal(mapped_trust(&log, &p, w, 200, false).certain, UINT32_MAX);
    free(w);
    mapped_log_free(&log);
}

static void code_that_came_and_went_between_two_looks_has_no_name(void **state) {
    (void)state;
    struct mapped_log log = {0};
    struct session_process p = process_that_changed();
    struct walk_stack *w = stack_through_library();
    file_a.inode = 1; /* before and now are the same; what ran was another */
    p.past[0].code = p.now.code;
    struct cpu_mapped m = {.head = {.type = CPU_RECORD_MAP, .tgid = 7, .time_ns = 100},
                           .start = LIBRARY,
                           .end = LIBRARY + 0x1000,
                           .inode = 4711,
                           .path = "/brief"};
    assert_int_equal(mapped_log_add(&log, &m), 0);
    struct assemble_trust t = mapped_trust(&log, &p, w, 150, false);
    assert_int_equal(t.certain, 0);
    assert_true(t.lost);
    free(w);
    mapped_log_free(&log);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_process_has_what_it_mapped_since_its_last_exec),
        cmocka_unit_test(what_is_mapped_later_covers_what_was_there),
        cmocka_unit_test(a_process_whose_exec_was_not_seen_is_not_guessed_at),
        cmocka_unit_test(a_walk_by_the_list_before_is_trusted_up_to_the_new_code),
        cmocka_unit_test(code_that_came_and_went_between_two_looks_has_no_name),
    };
    return RUN_TESTS(tests);
}
