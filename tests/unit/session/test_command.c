/* The command waits until scry samples it. */
#include "../unit.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "session/command.h"

static void a_command_whose_scry_was_killed_does_not_run(void **state) {
    char dir[] = "/tmp/scry-test-XXXXXX", marker[64];
    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(marker, sizeof(marker), "%s/ran", dir);
    char *argv[] = {"touch", marker, NULL};
    for (int killed = 0; killed < 2; killed++) {
        int end[2]; /* read from when everybody has closed it: scry, and the command */
        assert_int_equal(pipe(end), 0);
        pid_t scry = fork();
        if (scry == 0) {
            struct command c = {.limits = command_limits_now()};
            if (command_prepare(argv, &c, NULL) < 0 || (!killed && command_run(&c, "touch", NULL) < 0))
                _exit(1);
            _exit(0); /* as if by SIGKILL: nothing is released */
        }
        close(end[1]);
        int status;
        char none;
        assert_int_equal(waitpid(scry, &status, 0), scry);
        assert_int_equal(status, 0);
        assert_int_equal(read(end[0], &none, 1), 0);
        close(end[0]);
        assert_int_equal(access(marker, F_OK), killed ? -1 : 0);
        unlink(marker);
    }
    rmdir(dir);
}

static void a_signal_that_came_before_the_command_ends_it(void **state) {
    static const int signals[] = {SIGINT, SIGTERM};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
        sigset_t set, before;
        sigemptyset(&set);
        sigaddset(&set, signals[i]);
        assert_int_equal(sigprocmask(SIG_BLOCK, &set, &before), 0);
        raise(signals[i]);
        struct command c = {.limits = command_limits_now()};
        char *argv[] = {"sleep", "20", NULL};
        assert_int_equal(command_prepare(argv, &c, NULL), 0);
        assert_int_equal(command_run(&c, "sleep", NULL), 0);
        assert_int_equal(waitpid(c.pid, &c.status, 0), c.pid);
        assert_true(WIFSIGNALED(c.status) && WTERMSIG(c.status) == signals[i]);
        int taken;
        assert_int_equal(sigwait(&set, &taken), 0); /* it is ours as well */
        assert_int_equal(sigprocmask(SIG_SETMASK, &before, NULL), 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_command_whose_scry_was_killed_does_not_run),
                                       cmocka_unit_test(a_signal_that_came_before_the_command_ends_it)};
    return RUN_TESTS(tests);
}
