/* What others waited for while scry ran. */
#include "../unit.h"

#include "session/displaced.h"

enum { MS = 1000000 };

static void an_idle_cpu_has_room_for_scry(void **state) {
    (void)state;
    assert_int_equal(displaced_of(980ull * MS, 20ull * MS, 1000ull * MS), 0);
    assert_int_equal(displaced_of(7000ull * MS, 900ull * MS, 1000ull * MS), 0);
    assert_int_equal(displaced_of(0, 0, 0), 0);
}

static void without_one_its_time_is_that_of_others(void **state) {
    (void)state;
    assert_int_equal(displaced_of(0, 300ull * MS, 1000ull * MS), 300ull * MS);
    assert_in_range(displaced_of(250ull * MS, 300ull * MS, 1000ull * MS), 224ull * MS, 226ull * MS);
}

static void idle_is_read_from_the_first_line(void **state) {
    (void)state;
    const char *stat = "cpu  10 20 30 400 50 60 7 8 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\n";
    assert_int_equal(displaced_idle(stat, 100), 4500ull * MS);
    assert_int_equal(displaced_idle("", 100), 0);
    assert_int_equal(displaced_idle("cpu 1 2", 100), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_idle_cpu_has_room_for_scry),
        cmocka_unit_test(without_one_its_time_is_that_of_others),
        cmocka_unit_test(idle_is_read_from_the_first_line),
    };
    return RUN_TESTS(tests);
}
