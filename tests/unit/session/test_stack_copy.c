/* What is read of a stack: from the copy where it has it, beyond from the process as it is now. */
#include "../unit.h"

#include <errno.h>
#include <unistd.h>

#include "session/stack_copy.h"

static u8 now[256];

static struct stack_copy copied(struct target *t, const u8 *bytes, bool cut) {
    struct stack_copy c;
    stack_copy_init(&c, t, (uintptr_t)now + 64, bytes, 64, cut);
    return c;
}

static void what_the_copy_holds_is_of_then_and_the_rest_of_now(void **state) {
    (void)state;
    u8 then[64], got[128];
    struct err err = {0};
    _cleanup_(target_closep) struct target *self = NULL;
    assert_int_equal(target_open(getpid(), &self, &err), 0);
    memset(then, 1, sizeof(then));
    memset(now, 2, sizeof(now));
    struct stack_copy whole = copied(self, then, false), cut = copied(self, then, true);
    u64 start = (uintptr_t)now + 64;
    assert_int_equal(whole.host.read(&whole.host, start + 8, got, 56), 0);
    assert_int_equal(got[55], 1);
    assert_int_equal(whole.host.read(&whole.host, start + 32, got, 64), 0);
    assert_int_equal(got[31], 1);
    assert_int_equal(got[32], 2);
    assert_int_equal(cut.host.read(&cut.host, start + 8, got, 56), 0);
    assert_int_equal(cut.host.read(&cut.host, start + 32, got, 64), -EFAULT);
    assert_int_equal(whole.host.read(&whole.host, start - 8, got, 16), -EFAULT);
}

static void without_the_process_there_is_the_copy_alone(void **state) {
    (void)state;
    u8 then[64] = {7}, got[128];
    struct stack_copy c = copied(NULL, then, false);
    u64 start = (uintptr_t)now + 64;
    assert_int_equal(c.host.read(&c.host, start, got, 64), 0);
    assert_int_equal(got[0], 7);
    assert_int_equal(c.host.read(&c.host, start, got, 65), -EFAULT);
    assert_int_equal(c.host.read(&c.host, start + 64, got, 8), -EFAULT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_copy_holds_is_of_then_and_the_rest_of_now),
        cmocka_unit_test(without_the_process_there_is_the_copy_alone),
    };
    return RUN_TESTS(tests);
}
