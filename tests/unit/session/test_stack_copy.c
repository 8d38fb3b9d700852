/* What is read of a stack: from the copy where it has it, beyond from the process as it is now. */
#include "../unit.h"

#include <errno.h>
#include <unistd.h>

#include "session/stack_copy.h"

enum { PAGE = 4096, START = PAGE - 64, SIZE = 2 * PAGE };

static u8 now[6 * PAGE] __attribute__((aligned(4096)));
static struct walk_stack walked;

/* As if the walk had found frames that end at now + each of `ends`. */
static void walk_to(struct stack_copy *c, const size_t *ends, u32 n) {
    walked = (struct walk_stack){.n_streams = 1, .n_frames = n};
    walked.streams[0] = (struct walk_stream){.total = n, .leaf_capacity = 64, .root_capacity = 64};
    for (u32 i = 0; i < n; i++)
        walked.frames[i] = raw_frame(RAW_NATIVE, 0x1000, ((uintptr_t)now + ends[i]) | (i & RAW_FLAGS));
    c->walk = &walked;
}

/* The same of one frame. */
static void walk_one(struct stack_copy *c, size_t end) {
    walk_to(c, &end, 1);
}

/* The copy is of ones; `now` is of twos, but for the last `same` bytes of what was copied. */
static struct stack_copy copied(struct target *t, u8 then[SIZE], size_t same) {
    memset(now, 2, sizeof(now));
    memset(then, 1, SIZE);
    memset(now + START + SIZE - same, 1, same);
    return stack_copy_of(t, (uintptr_t)now + START, then, SIZE, 0);
}

static int got(struct stack_copy *c, size_t at, size_t size, u8 *first, u8 *last) {
    u8 bytes[sizeof(now)];
    int rc = c->host.read(&c->host, (uintptr_t)now + at, bytes, size);
    *first = bytes[0];
    *last = bytes[size - 1];
    return rc;
}

static struct target *open_self(void) {
    struct target *self = NULL;
    struct err err = {0};
    assert_int_equal(target_open(getpid(), &self, &err), 0);
    return self;
}

static void what_the_copy_holds_is_of_then_and_the_rest_of_now(void **state) {
    (void)state;
    u8 then[SIZE], first, last;
    _cleanup_(target_closep) struct target *self = open_self();
    struct stack_copy c = copied(self, then, 256);
    assert_int_equal(got(&c, START, SIZE, &first, &last), 0);
    assert_int_equal(first, 1);
    assert_int_equal(last, 1);
    walk_one(&c, START + SIZE - 16);
    assert_int_equal(got(&c, START + SIZE - 32, 64, &first, &last), 0);
    assert_int_equal(first, 1);
    assert_int_equal(last, 2);
    assert_int_equal(got(&c, START - 8, 16, &first, &last), -EFAULT);
}

/* Whether the outermost return address that the walk found in the copy is there still is what counts, and not what the
 * frame that the copy ends in holds. */
static void above_a_stack_that_was_cut_or_has_changed_nothing_is_believed(void **state) {
    (void)state;
    u8 then[SIZE], first, last;
    _cleanup_(target_closep) struct target *self = open_self();
    struct stack_copy goes_on = copied(self, then, 256);
    memset(now + START + SIZE - 16, 3, 16);
    walk_to(&goes_on, (const size_t[]){START + SIZE - 1024, START + SIZE - 120, START + SIZE + 64}, 3);
    assert_int_equal(got(&goes_on, START + SIZE, 8, &first, &last), 0);
    struct stack_copy changed = copied(self, then, 128);
    walk_one(&changed, START + SIZE - 128);
    assert_int_equal(got(&changed, START + SIZE, 8, &first, &last), -EFAULT);
    memset(now, 1, sizeof(now)); /* it stays so */
    assert_int_equal(got(&changed, START + SIZE, 8, &first, &last), -EFAULT);
    struct stack_copy not_walked = copied(self, then, 256), outside = copied(self, then, 256);
    assert_int_equal(got(&not_walked, START + SIZE, 8, &first, &last), -EFAULT);
    walk_one(&outside, START + SIZE + 8);
    assert_int_equal(got(&outside, START + SIZE, 8, &first, &last), -EFAULT);
    struct stack_copy cut = copied(self, then, 256);
    cut.cut = true;
    walk_one(&cut, START + SIZE - 16);
    assert_int_equal(got(&cut, START, SIZE, &first, &last), 0);
    assert_int_equal(got(&cut, START + SIZE - 32, 64, &first, &last), -EFAULT);
}

/* Two holes, [now + PAGE, now + 2 * PAGE) and the page after the next. */
static void a_hole_is_read_in_the_process(void **state) {
    (void)state;
    u8 then[64 + PAGE + 128], first, last;
    _cleanup_(target_closep) struct target *self = open_self();
    memset(now, 2, sizeof(now));
    memset(now + 4 * PAGE + 128 - 64, 1, 64); /* the copy's end is of ones and threes */
    memset(now + 4 * PAGE, 3, 64);
    memset(then, 1, sizeof(then));
    memset(then + 64 + PAGE, 3, 64);
    u32 holes = 1 << 1 | 1 << 3;
    struct stack_copy c = stack_copy_of(self, (uintptr_t)now + START, then, sizeof(then), holes);
    struct stack_copy alone = stack_copy_of(NULL, (uintptr_t)now + START, then, sizeof(then), holes);
    assert_int_equal(c.end - (uintptr_t)now, 4 * PAGE + 128);
    assert_int_equal(got(&c, START, 64, &first, &last), 0);
    assert_int_equal(last, 1);
    assert_int_equal(got(&c, START + 32, PAGE, &first, &last), 0);
    assert_int_equal(first, 1);
    assert_int_equal(last, 2);
    assert_int_equal(got(&c, PAGE, PAGE + 1, &first, &last), 0);
    assert_int_equal(first, 2);
    assert_int_equal(last, 1);
    assert_int_equal(got(&c, 3 * PAGE - 1, PAGE + 2, &first, &last), 0);
    assert_int_equal(first, 1);
    assert_int_equal(last, 3);
    walk_one(&c, 4 * PAGE + 72);
    assert_int_equal(got(&c, 4 * PAGE + 120, 16, &first, &last), 0); /* the return address is as it was */
    assert_int_equal(last, 2);
    assert_int_equal(got(&alone, START, 65, &first, &last), -EFAULT);
    assert_int_equal(got(&alone, 2 * PAGE, 8, &first, &last), 0);
    now[4 * PAGE + 66] = 4;
    struct stack_copy changed = stack_copy_of(self, (uintptr_t)now + START, then, sizeof(then), holes);
    walk_one(&changed, 4 * PAGE + 72);
    assert_int_equal(got(&changed, 4 * PAGE + 120, 16, &first, &last), -EFAULT);
}

static void without_the_process_there_is_the_copy_alone(void **state) {
    (void)state;
    u8 then[SIZE], first, last;
    struct stack_copy c = copied(NULL, then, 256);
    assert_int_equal(got(&c, START, SIZE, &first, &last), 0);
    assert_int_equal(last, 1);
    assert_int_equal(got(&c, START, SIZE + 1, &first, &last), -EFAULT);
    assert_int_equal(got(&c, START + SIZE, 8, &first, &last), -EFAULT);
}

static void of_an_empty_copy_nothing_is_believed(void **state) {
    (void)state;
    u8 first, last;
    _cleanup_(target_closep) struct target *self = open_self();
    struct stack_copy c = stack_copy_of(self, (uintptr_t)now + PAGE, NULL, 0, UINT32_MAX);
    assert_int_equal(c.end, c.start);
    assert_int_equal(got(&c, PAGE, 8, &first, &last), -EFAULT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_copy_holds_is_of_then_and_the_rest_of_now),
        cmocka_unit_test(above_a_stack_that_was_cut_or_has_changed_nothing_is_believed),
        cmocka_unit_test(a_hole_is_read_in_the_process),
        cmocka_unit_test(without_the_process_there_is_the_copy_alone),
        cmocka_unit_test(of_an_empty_copy_nothing_is_believed),
    };
    return RUN_TESTS(tests);
}
