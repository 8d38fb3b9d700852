/* scry cpu: where does CPU time go? */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>

#include "base/clock.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/terminal.h"
#include "session/session.h"

/* Ctrl-C and kill end the capture, not the program: what was captured is written. */
static int stop_signals(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -errno;
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

static void show_progress(void *ctx, const struct session_progress *p) {
    const struct options *o = ctx;
    char text[160], until[64] = "";
    if (o->duration_ns)
        snprintf(until, sizeof(until), " of %.0f s", (double)o->duration_ns / 1e9);
    snprintf(text, sizeof(text), "Sampling: %.0f s%s, %llu samples%s", p->seconds, until,
             (unsigned long long)p->samples, o->duration_ns ? "" : "; Ctrl-C ends it and keeps what was captured");
    terminal_progress(text);
}

/* What the command ended with, as a shell would say it. */
static int exit_status_of(int wait_status) {
    if (wait_status == -1)
        return 0;
    return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
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
    int status = -1;
    rc = session_cpu(&session, &p, &status, err);
    terminal_progress(NULL);
    if (rc < 0)
        return rc;
    rc = output_profile(o, &output, p, err);
    return rc < 0 ? rc : exit_status_of(status);
}
