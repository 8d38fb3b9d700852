#include "session/command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "session/session.h"

struct command_limits command_limits_now(void) {
    struct command_limits l = {.niceness = getpriority(PRIO_PROCESS, 0)};
    getrlimit(RLIMIT_NOFILE, &l.open_files); /* does not fail */
    return l;
}

static void run_child(char *const *argv, int gate, int failure, const struct command_limits *limits) {
    char c;
    ssize_t n;
    while ((n = read(gate, &c, 1)) < 0 && errno == EINTR)
        ;
    if (n <= 0)
        _exit(126); /* scry was killed: nobody would see what it does */
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    setpriority(PRIO_PROCESS, 0, limits->niceness);
    setrlimit(RLIMIT_NOFILE, &limits->open_files);
    execvp(argv[0], argv);
    int code = errno;
    if (write(failure, &code, sizeof(code)) < 0)
        _exit(126);
    _exit(127);
}

int command_prepare(char *const *argv, struct command *ret, struct err *err) {
    int gate[2] = {-1, -1}, failure[2] = {-1, -1};
    *ret = (struct command){.gate = -1, .failure = -1, .limits = ret->limits};
    if (pipe2(gate, O_CLOEXEC) < 0)
        return err_set(err, -errno, NULL, "Cannot make a pipe: %s", strerror(errno));
    if (pipe2(failure, O_CLOEXEC) < 0) {
        int rc = -errno;
        close(gate[0]);
        close(gate[1]);
        return err_set(err, rc, NULL, "Cannot make a pipe: %s", strerror(-rc));
    }
    pid_t pid = fork();
    if (pid == 0) {
        close(gate[1]);
        close(failure[0]);
        run_child(argv, gate[0], failure[1], &ret->limits);
    }
    int rc = pid < 0 ? -errno : 0;
    close(gate[0]);
    close(failure[1]);
    if (rc < 0) {
        close(gate[1]);
        close(failure[0]);
        return err_set(err, rc, NULL, "Cannot start a process: %s", strerror(-rc));
    }
    *ret = (struct command){.pid = pid, .gate = gate[1], .failure = failure[0], .limits = ret->limits};
    return 0;
}

/* Ctrl-C goes to all processes of the terminal. One that came before the child was there reached this process alone: a
 * child that waits at its gate gets it too, and ends there. */
static void hand_on_signals(pid_t pid) {
    static const int stops[] = {SIGINT, SIGTERM, SIGHUP};
    sigset_t pending;
    if (sigpending(&pending) < 0)
        return;
    for (size_t i = 0; i < ARRAY_SIZE(stops); i++)
        if (sigismember(&pending, stops[i]) == 1)
            kill(pid, stops[i]);
}

/* A file that begins like a program and lacks the right to be run. */
static bool looks_like_program(const char *path) {
    char start[4] = "";
    _cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    return fd >= 0 && read(fd, start, sizeof(start)) == sizeof(start) &&
           (memcmp(start, "#!", 2) == 0 || memcmp(start, "\177ELF", 4) == 0);
}

static int cannot_run(int code, const char *name, struct err *err) {
    struct stat st;
    bool path = strchr(name, '/') != NULL, there = path && stat(name, &st) == 0;
    if (there && S_ISDIR(st.st_mode))
        return err_set(err, -code, "Name a program in it", "Cannot run %s: it is a directory", name);
    const char *advice = code == ENOENT ? "Check the name, or give a path"
                         : code == EACCES && there && !(st.st_mode & 0111) && looks_like_program(name)
                             ? "Make it executable (chmod +x), or name the program that runs it"
                         : code == EACCES || code == ENOEXEC ? "If it is a script, name the program that runs it"
                                                             : NULL;
    return err_set(err, -code, advice, "Cannot run %s: %s", name, strerror(code));
}

int command_run(struct command *c, const char *name, struct err *err) {
    int code = 0;
    hand_on_signals(c->pid);
    if (write(c->gate, "", 1) < 0)
        code = errno;
    close(TAKE_FD(c->gate));
    ssize_t n;
    while ((n = read(c->failure, &code, sizeof(code))) < 0 && errno == EINTR)
        ;
    close(TAKE_FD(c->failure));
    if (n <= 0)
        return 0;
    waitpid(c->pid, &c->status, 0);
    c->reaped = true;
    return cannot_run(code, name, err);
}

bool command_ended(struct command *c) {
    if (c->pid && !c->reaped && waitpid(c->pid, &c->status, WNOHANG) == c->pid)
        c->reaped = true;
    return c->reaped;
}

void command_release(struct command *c) {
    if (c->gate >= 0) { /* it never ran */
        kill(c->pid, SIGKILL);
        close(TAKE_FD(c->gate));
        waitpid(c->pid, &c->status, 0);
    }
    if (c->failure >= 0)
        close(TAKE_FD(c->failure));
}

bool session_command_wait(struct session_command *c, int timeout_ms, int stop_fd) {
    if (!c->pid || c->ended)
        return true;
    /* The glibc of some systems that we run on has no pidfd_open(). */
    _cleanup_(closep) int fd = (int)syscall(SYS_pidfd_open, c->pid, 0);
    struct pollfd on[] = {{.fd = fd, .events = POLLIN}, {.fd = stop_fd, .events = POLLIN}};
    while (fd >= 0 && poll(on, ARRAY_SIZE(on), timeout_ms) < 0 && errno == EINTR)
        ;
    c->ended = waitpid(c->pid, &c->status, WNOHANG) == c->pid;
    return c->ended;
}
