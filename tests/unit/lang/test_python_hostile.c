/* What a process may say that is no interpreter's: nothing may go on for ever. */
#include "../unit.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lang/python/python_process.h"

enum { SECONDS = 20 }; /* far more than bounded work takes */

/* A child that stands still: its memory is ours at the time of the fork. */
static struct target *still_copy(pid_t *ret_pid) {
    struct target *t = NULL;
    struct err err = {0};
    *ret_pid = fork();
    if (*ret_pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            pause();
    }
    assert_int_equal(target_open(*ret_pid, &t, &err), 0);
    return t;
}

static uint8_t interpreter[1024] __attribute__((aligned(8)));
static uint8_t states[2][1024] __attribute__((aligned(8)));
static uint64_t newest;

static void put(uint8_t *at, unsigned offset, const void *pointer) {
    memcpy(at + offset, &pointer, sizeof(pointer));
}

static void a_circle_of_thread_states_that_never_started_is_left(void **state) {
    (void)state;
    struct lang_process lp = {.version = "3.11"};
    struct err err = {0};
    assert_int_equal(python_layout_of(11, &lp.layout, &err), 0);
    newest = (uint64_t)(uintptr_t)interpreter;
    put(interpreter, lp.layout.interpreter_threads, states[0]);
    for (unsigned i = 0; i < 2; i++) {
        put(states[i], lp.layout.thread_interpreter, interpreter);
        put(states[i], lp.layout.thread_next, states[!i]);
    }
    pid_t child;
    lp.target = still_copy(&child);
    lp.interpreters = (uint64_t)(uintptr_t)&newest;
    const struct python_object none = {0};
    alarm(SECONDS);
    assert_int_equal(python_find_threads(&none, &lp, &err), -EAGAIN);
    alarm(0);
    target_close(lp.target);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static void many_versions_among_the_constants_are_looked_at_once(void **state) {
    (void)state;
    enum { SIZE = 2 << 20 }; /* for a search of all of it per version that is hours */
    static const char one[] = "/3.7.1 ";
    struct python_layout l;
    char *text = mem_alloc(SIZE);
    assert_non_null(text);
    for (size_t i = 0; i < SIZE; i++)
        text[i] = one[i % (sizeof(one) - 1)];
    for (size_t i = sizeof(one) - 2; i < SIZE; i += sizeof(one) - 1)
        text[i] = '\0';
    memcpy(text + SIZE - 16, "python3.8", 10); /* another version's folder, at the very end */
    alarm(SECONDS);
    assert_false(python_version_in(text, SIZE, &l));
    memcpy(text + SIZE - 16, "python3.7", 10);
    assert_true(python_version_in(text, SIZE, &l));
    alarm(0);
    assert_int_equal(l.minor, 7);
    assert_int_equal(l.micro, 1);
    free(text);
}

static void the_version_is_a_text_of_its_own(void **state) {
    (void)state;
    struct python_layout l;
    static const char own[] = "lib/python3.10\0x3.9.1\0"
                              "3.10.13+\0",
                      merged[] = "python3.8\0spam/3.8.18\0";
    static const char other[] = "python3.6\0"
                                "3.7.1\0",
                      none[] = "3.7.1";
    assert_true(python_version_in(own, sizeof(own), &l));
    assert_int_equal(l.minor, 10);
    assert_int_equal(l.micro, 13);
    assert_true(python_version_in(merged, sizeof(merged), &l));
    assert_int_equal(l.micro, 18);
    assert_false(python_version_in(other, sizeof(other), &l));
    assert_false(python_version_in(none, sizeof(none), &l));
    assert_false(python_version_in(none, 0, &l));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_circle_of_thread_states_that_never_started_is_left),
        cmocka_unit_test(many_versions_among_the_constants_are_looked_at_once),
        cmocka_unit_test(the_version_is_a_text_of_its_own),
    };
    return RUN_TESTS(tests);
}
