/* scry cpu: where does CPU time go? */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>

#include "analyse/text.h"
#include "base/file.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/terminal.h"
#include "session/session.h"

static sigset_t stop_set(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    struct sigaction hangup;
    if (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler != SIG_IGN) /* else started by nohup */
        sigaddset(&set, SIGHUP);
    return set;
}

/* Ctrl-C and kill end the capture, not the program: what was captured is written. */
static int stop_signals(void) {
    sigset_t set = stop_set();
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -errno;
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

static void show_progress(void *ctx, const struct session_progress *p) {
    const struct options *o = ctx;
    char text[200], until[64] = "";
    const char *more = p->remark ? p->remark : !o->duration_ns ? "Ctrl-C ends it and keeps what was captured" : "";
    int digits = o->duration_ns && o->duration_ns < 10000000000 ? 1 : 0;
    if (o->duration_ns)
        snprintf(until, sizeof(until), " of %.*f s", digits, (double)o->duration_ns / 1e9);
    snprintf(text, sizeof(text), "Sampling: %.*f s%s, %llu samples%s%s", digits, p->seconds, until,
             (unsigned long long)p->samples, more[0] ? "; " : "", more);
    terminal_progress(text);
}

/* ---- the command, when it outlives the capture ---- */

/* The first signal that asked us to stop, 0 when there was none. */
static int taken_signal(int stop_fd) {
    struct signalfd_siginfo info = {0}, more;
    ssize_t n = read(stop_fd, &info, sizeof(info));
    while (read(stop_fd, &more, sizeof(more)) > 0)
        ;
    return n == sizeof(info) ? (int)info.ssi_signo : 0;
}

static void tell_of(const struct options *o, const struct session_command *c, const char *what) {
    if (o->quiet)
        return;
    _cleanup_(buf_free) struct buf out = {0};
    text_add(&out, o->command[0], TEXT_WHOLE);
    fprintf(stderr, "scry: %s (pid %d) %s.\n", buf_cstr(&out), (int)c->pid, what);
}

/* A daemon, as a rule, which is what was meant. */
static void tell_of_left(const struct options *o, const struct session_command *c) {
    if (o->quiet || !c->left)
        return;
    _cleanup_(buf_free) struct buf out = {0};
    text_add(&out, o->command[0], TEXT_WHOLE);
    if (c->n_left == 1)
        fprintf(stderr, "scry: %s has ended, and a process that it started goes on; to sample that: scry cpu -p %d\n",
                buf_cstr(&out), (int)c->left);
    else
        fprintf(stderr,
                "scry: %s has ended, and %zu processes that it started go on; to sample one and what that starts: "
                "scry cpu -p %d\n",
                buf_cstr(&out), c->n_left, (int)c->left);
}

/* The command has our terminal, and a shell that went on meanwhile would share it: like a shell we wait for it. Ctrl-C
 * reaches us both. Who ends us by another signal wants us to end, and now. */
static void see_command_off(const struct options *o, struct session_command *c, int asked, int stop_fd) {
    enum { MOMENT_MS = 300 };
    if (session_command_wait(c, asked ? MOMENT_MS : 0, -1))
        return;
    if (asked == 0 || asked == SIGINT) {
        tell_of(o, c, "goes on, no longer sampled; waiting for it to end, or for Ctrl-C");
        if (session_command_wait(c, -1, stop_fd) || session_command_wait(c, MOMENT_MS, -1))
            return;
    }
    tell_of(o, c, "is left running");
}

/* A file is written whole, whatever signals come. Who reads from a pipe may never do so: another signal ends us then. */
static int write_profile(const struct options *o, const struct output *output, const struct profile *p,
                         struct err *err) {
    bool may_wait = !output->path[0] || file_is_stream(output->path);
    sigset_t set = stop_set();
    if (may_wait)
        sigprocmask(SIG_UNBLOCK, &set, NULL);
    int rc = output_profile(o, output, p, err);
    fflush(stdout);
    if (may_wait)
        sigprocmask(SIG_BLOCK, &set, NULL);
    return rc;
}

/* What the command ended with, as a shell would say it; 0 when it still runs or there was none. */
static int exit_status_of(const struct session_command *c) {
    if (!c->ended)
        return 0;
    return WIFEXITED(c->status) ? WEXITSTATUS(c->status) : 128 + WTERMSIG(c->status);
}

int cmd_cpu(const struct options *o, struct err *err) {
    struct output output;
    int rc = output_plan(o, "cpu", &output, err);
    if (rc < 0)
        return rc;
    _cleanup_(closep) int stop_fd = stop_signals();
    struct session_options session = {
        .pids = o->pids,
        .n_pids = o->n_pids,
        .all = o->all,
        .cgroup = o->cgroup,
        .command = o->command,
        .duration = (double)o->duration_ns / 1e9,
        .frequency = o->frequency,
        .kernel = !o->no_kernel,
        .verbose = o->verbose,
        .stop_fd = stop_fd,
        .progress = o->quiet ? NULL : show_progress,
        .progress_ctx = (void *)(uintptr_t)o,
    };
    _cleanup_(profile_freep) struct profile *p = NULL;
    struct session_command command = {0};
    rc = session_cpu(&session, &p, &command, err);
    terminal_progress(NULL);
    if (rc < 0)
        return rc;
    int asked = taken_signal(stop_fd);
    rc = write_profile(o, &output, p, err);
    tell_of_left(o, &command);
    see_command_off(o, &command, asked, stop_fd);
    return rc < 0 ? rc : exit_status_of(&command);
}
