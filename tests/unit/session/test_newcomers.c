/* Which processes are opened before a sample is taken of them, and who ended lately. */
#include "../unit.h"

#include "session/departed.h"
#include "session/newcomers.h"

enum { MS = 1000000 };

static void those_that_stay_a_moment_are_due(void **state) {
    (void)state;
    struct newcomers n = {0};
    bool postponed;
    for (uint32_t pid = 1; pid <= 3; pid++)
        assert_int_equal(newcomers_add(&n, pid, pid * MS), 0);
    assert_true(newcomers_remove(&n, 2));
    assert_false(newcomers_remove(&n, 2));
    assert_int_equal(newcomers_due(&n, 20ull * MS, &postponed), 0);
    assert_int_equal(newcomers_due(&n, 100ull * MS, &postponed), 1);
    assert_int_equal(newcomers_due(&n, 100ull * MS, &postponed), 3);
    assert_int_equal(newcomers_due(&n, 100ull * MS, &postponed), 0);
    assert_int_equal(newcomers_add(&n, 4, 200ull * MS), 0);
    assert_int_equal(newcomers_add(&n, 4, 240ull * MS), 0); /* another program */
    assert_int_equal(newcomers_due(&n, 260ull * MS, &postponed), 0);
    assert_int_equal(newcomers_due(&n, 300ull * MS, &postponed), 4);
    assert_false(newcomers_has(&n, 4));
    newcomers_free(&n);
}

static void so_many_a_second_are_due(void **state) {
    (void)state;
    struct newcomers n = {0};
    bool postponed;
    unsigned opened = 0, later = 0;
    for (uint32_t pid = 1; pid <= 1000; pid++)
        assert_int_equal(newcomers_add(&n, pid, 1), 0);
    while (newcomers_due(&n, 5000ull * MS, &postponed)) {
        later += postponed;
        opened += !postponed;
    }
    assert_int_equal(opened, 100);
    assert_int_equal(later, 900);
    while (newcomers_due(&n, 7000ull * MS, &postponed))
        opened += !postponed;
    assert_int_equal(opened, 200);
    assert_int_equal(n.count, 800);
    newcomers_free(&n);
}

static void who_ended_is_known_for_a_while(void **state) {
    (void)state;
    struct departed *d = mem_zalloc(1, sizeof(*d));
    struct profile *p = profile_new();
    struct profile_thread as = {
        .pid = 7, .process_name = profile_string(p, "worker"), .runtime = profile_string(p, "r")};
    struct u64_map threads = {0};
    assert_int_equal(u64_map_put(&threads, 7, 42), 0);
    departed_add(d, &as, &threads, false);
    assert_null(threads.entries);
    assert_int_equal(departed_thread(d, p, 7, 7, "x"), 42);
    thread_id other = departed_thread(d, p, 7, 8, "x");
    assert_string_equal(profile_str(p, p->threads[other].process_name), "worker");
    assert_string_equal(profile_str(p, p->threads[other].thread_name), "x");
    assert_int_equal(departed_thread(d, p, 9, 9, "x"), 0);
    assert_int_equal(departed_thread(d, p, 0, 0, "x"), 0);
    departed_forget(d, 7);
    assert_int_equal(departed_thread(d, p, 7, 7, "x"), 0);
    for (uint32_t pid = 100; pid < 100 + DEPARTED_MOST + 1; pid++) {
        as.pid = pid;
        departed_add(d, &as, NULL, false);
    }
    assert_int_equal(departed_thread(d, p, 100, 100, "x"), 0);
    assert_int_not_equal(departed_thread(d, p, 101, 101, "x"), 0);
    assert_false(departed_wait(d));
    departed_free(d);
    profile_free(p);
    free(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(those_that_stay_a_moment_are_due),
        cmocka_unit_test(so_many_a_second_are_due),
        cmocka_unit_test(who_ended_is_known_for_a_while),
    };
    return RUN_TESTS(tests);
}
