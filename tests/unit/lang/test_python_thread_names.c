/* Names of threads in processes that are no interpreter's: what they claim is not believed, and nothing goes on for
 * ever. */
#include "../unit.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "lang/python/python_process.h"

enum { SECONDS = 20, SIZE = 16 << 20, MINOR = 10, TID = 12345 };

static uint8_t *image; /* the memory of a process */
static size_t used;

static int make_image(void **state) {
    (void)state;
    image = mem_zalloc(1, SIZE);
    used = 0;
    return image ? 0 : -1;
}

static int free_image(void **state) {
    (void)state;
    free(image);
    return 0;
}

static uint64_t *block(size_t bytes) {
    uint64_t *at = (uint64_t *)(void *)(image + used);
    used += (bytes + 15) & ~(size_t)15;
    assert_true(used <= SIZE);
    return at;
}

static uint64_t address(const void *at) {
    return (uint64_t)(uintptr_t)at;
}

/* ---- objects as 3.10 has them ---- */

static uint64_t text_type, no_type[64];

static uint64_t text(const char *s) {
    uint64_t *o = block(48 + strlen(s) + 1);
    o[1] = address(&text_type);
    o[2] = strlen(s);
    o[4] = 1 << 2 | 1 << 5 | 1 << 6; /* one byte per letter, compact, ASCII */
    memcpy(o + 6, s, strlen(s));
    return address(o);
}

/* Room for `count` entries {hash, key, value}, of which it claims to have so many. */
static uint64_t *dict(size_t count, uint64_t claimed, uint64_t *ret_entries[]) {
    uint64_t *d = block(48), *keys = block(40 + 8 + 24 * count);
    d[4] = address(keys);
    keys[1] = 8;
    keys[4] = claimed;
    *ret_entries = keys + 6;
    return d;
}

static uint64_t dict_of(uint64_t key, uint64_t value) {
    uint64_t *entries, *d = dict(1, 1, &entries);
    entries[1] = key;
    entries[2] = value;
    return address(d);
}

static uint64_t module_of(uint64_t names) {
    uint64_t *o = block(24);
    o[2] = names;
    return address(o);
}

static uint64_t instance(uint64_t attributes) {
    static uint64_t type[64];
    uint64_t *o = block(24);
    type[288 / 8] = 16; /* tp_dictoffset */
    o[1] = address(type);
    o[2] = attributes;
    return address(o);
}

/* The C library's record of a thread. */
static uint64_t pthread(uint32_t tid) {
    uint64_t *o = block(1024);
    memcpy((uint8_t *)o + 720, &tid, sizeof(tid));
    return address(o);
}

static uint64_t interpreter(uint64_t active) {
    uint64_t *o = block(1024), *head = block(8);
    o[856 / 8] = dict_of(text("threading"), module_of(dict_of(text("_active"), active)));
    *head = address(o);
    return address(head);
}

/* ---- asking ---- */

/* What a child with this memory is found to call the thread. -ENOENT when it has no name. */
static int ask(unsigned minor, uint64_t head, char *ret, size_t size) {
    struct lang_process lp = {.interpreters = head, .thread_names = python_thread_names_new()};
    struct err err = {0};
    assert_non_null(lp.thread_names);
    assert_int_equal(python_layout_of(minor, &lp.layout, &err), 0);
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            pause();
    }
    assert_int_equal(target_open(child, &lp.target, &err), 0);
    alarm(SECONDS);
    int rc = python_thread_name(&lp, TID, ret, size);
    alarm(0);
    python_thread_names_free(lp.thread_names);
    target_close(lp.target);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    return rc;
}

static void a_thread_has_the_name_in_its_object(void **state) {
    (void)state;
    char name[64] = "";
    uint64_t *entries, *active = dict(3, 3, &entries);
    entries[3] = pthread(TID);
    entries[5] = instance(dict_of(text("_name"), text("spinner")));
    assert_int_equal(ask(MINOR, interpreter(address(active)), name, sizeof(name)), 0);
    assert_string_equal(name, "spinner");
}

static void a_name_that_is_no_text_is_none(void **state) {
    (void)state;
    char name[64] = "";
    uint64_t *entries, *active = dict(1, 1, &entries), bad = text("spinner");
    ((uint64_t *)(uintptr_t)bad)[1] = address(no_type);
    entries[0] = pthread(TID);
    entries[2] = instance(dict_of(text("_name"), bad));
    assert_int_equal(ask(MINOR, interpreter(address(active)), name, sizeof(name)), -ENOENT);
}

static void a_text_that_claims_to_be_endless_is_cut_or_none(void **state) {
    (void)state;
    char name[64] = "";
    uint64_t *entries, *active = dict(1, 1, &entries), endless = text("spinner");
    ((uint64_t *)(uintptr_t)endless)[2] = UINT64_MAX;
    entries[0] = pthread(TID);
    entries[2] = instance(dict_of(text("_name"), endless));
    ask(MINOR, interpreter(address(active)), name, sizeof(name));
    assert_true(strlen(name) < sizeof(name));
}

static void so_many_threads_as_nobody_has_cost_a_bounded_time(void **state) {
    (void)state;
    enum { COUNT = 400000 };
    char name[64] = "";
    uint64_t *entries, *active = dict(COUNT, UINT64_MAX, &entries);
    uint64_t thread = instance(dict_of(text("_name"), text("spinner")));
    for (size_t i = 0; i < COUNT; i++) {
        entries[3 * i] = address(image) + 8 * i;
        entries[3 * i + 2] = thread;
    }
    assert_int_equal(ask(MINOR, interpreter(address(active)), name, sizeof(name)), -ENOENT);
}

static void memory_that_points_only_at_itself_is_left(void **state) {
    (void)state;
    char name[64] = "";
    for (size_t step = 0; step <= 64; step += 32) {
        for (size_t i = 0; i < SIZE / 8; i++)
            ((uint64_t *)(void *)image)[i] = address(image) + (i * step) % (SIZE / 2);
        for (unsigned minor = PYTHON_OLDEST; minor <= 12; minor++)
            assert_int_equal(ask(minor, address(image), name, sizeof(name)), -ENOENT);
    }
}

static void a_circle_of_interpreters_is_left(void **state) {
    (void)state;
    char name[64] = "";
    uint64_t *entries, *active = dict(1, 1, &entries), head = interpreter(address(active));
    uint64_t first = *(uint64_t *)(uintptr_t)head;
    *(uint64_t *)(uintptr_t)first = first;
    entries[0] = pthread(TID + 1);
    entries[2] = instance(dict_of(text("_name"), text("spinner")));
    assert_int_equal(ask(MINOR, head, name, sizeof(name)), -ENOENT);
}

static void threads_without_a_name_are_not_searched_for_again_at_once(void **state) {
    (void)state;
    char name[64] = "";
    struct lang_process lp = {.thread_names = python_thread_names_new()};
    struct err err = {0};
    uint64_t *entries, *active = dict(1, 1, &entries);
    assert_int_equal(python_layout_of(MINOR, &lp.layout, &err), 0);
    assert_int_equal(target_open(getpid(), &lp.target, &err), 0);
    lp.interpreters = interpreter(address(active));
    assert_int_equal(python_thread_name(&lp, TID, name, sizeof(name)), -ENOENT);
    uint64_t start = clock_monotonic_ns();
    entries[0] = pthread(TID); /* now it has one */
    entries[2] = instance(dict_of(text("_name"), text("spinner")));
    while (python_thread_name(&lp, TID, name, sizeof(name)) == -ENOENT && clock_monotonic_ns() - start < 10000000000)
        ;
    assert_string_equal(name, "spinner");
    assert_true(clock_monotonic_ns() - start >= 10000000);
    python_thread_names_free(lp.thread_names);
    target_close(lp.target);
}

#define IMAGE_TEST(f) cmocka_unit_test_setup_teardown(f, make_image, free_image)

int main(void) {
    const struct CMUnitTest tests[] = {
        IMAGE_TEST(a_thread_has_the_name_in_its_object),
        IMAGE_TEST(a_name_that_is_no_text_is_none),
        IMAGE_TEST(a_text_that_claims_to_be_endless_is_cut_or_none),
        IMAGE_TEST(so_many_threads_as_nobody_has_cost_a_bounded_time),
        IMAGE_TEST(memory_that_points_only_at_itself_is_left),
        IMAGE_TEST(a_circle_of_interpreters_is_left),
        IMAGE_TEST(threads_without_a_name_are_not_searched_for_again_at_once),
    };
    return RUN_TESTS(tests);
}
