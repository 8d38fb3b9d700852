#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "analyse/text.h"
#include "cli/options.h"
#include "cli/reference.h"
#include "cli/terminal.h"

enum { EXIT_DONE = 0, EXIT_COULD_NOT = 1, EXIT_BAD_USAGE = 2 };

/* Two lines for a person: what happened, and what to do next. Both may quote what others named. */
static int complain(int code, const struct err *err) {
    terminal_progress(NULL);
    _cleanup_(buf_free) struct buf out = {0};
    buf_adds(&out, "scry: ");
    text_add(&out, err->text[0] ? err->text : strerror(code > CMD_BAD_USAGE ? -code : EINVAL), TEXT_WHOLE);
    buf_adds(&out, ".\n");
    if (err->advice[0]) {
        char last = err->advice[strlen(err->advice) - 1];
        buf_adds(&out, "  ");
        text_add(&out, err->advice, TEXT_WHOLE);
        buf_adds(&out, last == '?' || last == '.' ? "\n" : ".\n");
    }
    fputs(out.failed ? "scry: Out of memory.\n" : buf_cstr(&out), stderr);
    return code == CMD_BAD_USAGE ? EXIT_BAD_USAGE : EXIT_COULD_NOT;
}

/* Prints what was gathered; a pipe that closed early is not an error. */
static int print(struct buf *out, FILE *to) {
    if (out->failed)
        return complain(-ENOMEM, &(struct err){0});
    fwrite(out->data, 1, out->len, to);
    return EXIT_DONE;
}

static int complain_of_verb(const char *name) {
    struct options o;
    struct err err = {0};
    char *argv[] = {(char *)"scry", (char *)name};
    int rc = options_parse(2, argv, &o, &err);
    return complain(rc, &err);
}

static int print_help(const char *name, FILE *to, int status) {
    _cleanup_(buf_free) struct buf out = {0};
    unsigned width = MIN(terminal_width(fileno(to)), 100u);
    const struct verb *v = name ? verb_find(name) : NULL;
    if (v)
        help_verb(&out, v, width);
    else if (!name)
        help_program(&out, width);
    else if (!help_word(&out, name))
        return complain_of_verb(name);
    int rc = print(&out, to);
    return rc ? rc : status;
}

static int print_reference(int argc, char **argv) {
    _cleanup_(buf_free) struct buf out = {0};
    struct err err = {0};
    int rc = reference_print(&out, argc > 2 ? argv[2] : "", argc > 3 ? argv[3] : NULL, &err);
    return rc < 0 ? complain(rc, &err) : print(&out, stdout);
}

/* Where the stack is limited to less, we would end without a word. */
static int check_stack(struct err *err) {
    enum { NEEDED = 512 << 10 };
    struct rlimit limit;
    if (getrlimit(RLIMIT_STACK, &limit) < 0 || limit.rlim_cur >= NEEDED)
        return 0;
    return err_set(err, -ENOMEM, "Allow more: ulimit -s 8192", "The stack is limited to %llu KB, and scry needs %d KB",
                   (unsigned long long)limit.rlim_cur >> 10, NEEDED >> 10);
}

static int run_verb(int argc, char **argv) {
    _cleanup_(options_free) struct options o = {0};
    struct err err = {0};
    int rc = options_parse(argc, argv, &o, &err);
    if (rc == 0 && o.help)
        return print_help(o.verb->name, stdout, EXIT_DONE);
    if (rc == 0)
        rc = check_stack(&err);
    if (rc == 0)
        rc = o.verb->run(&o, &err);
    return rc < 0 ? complain(rc, &err) : rc;
}

static bool is_one_of(const char *word, const char *a, const char *b, const char *c) {
    return strcmp(word, a) == 0 || strcmp(word, b) == 0 || strcmp(word, c) == 0;
}

static int dispatch(int argc, char **argv) {
    if (argc < 2)
        return print_help(NULL, stderr, EXIT_BAD_USAGE);
    if (is_one_of(argv[1], "help", "--help", "-h"))
        return print_help(argc > 2 ? argv[2] : NULL, stdout, EXIT_DONE);
    if (is_one_of(argv[1], "version", "--version", "-V"))
        return puts("scry " SCRY_VERSION) < 0 ? EXIT_COULD_NOT : EXIT_DONE;
    if (strcmp(argv[1], "_reference") == 0)
        return print_reference(argc, argv);
    return run_verb(argc, argv);
}

/* Whoever read our output is gone. Unlike SIG_IGN, a handler is not handed down to a command that we start. */
static void broken_pipe(int signal) {
    _exit(128 + signal);
}

/* A file that may not grow further (ulimit -f) makes write() fail, which is told, and does not end us. */
static void file_too_large(int signal) {
    (void)signal;
}

/* A file that we open must not become our standard output because that was closed. Reading or writing what stands
 * there instead fails with the same words as before. */
static void occupy_standard_files(void) {
    static const int against_use[] = {O_WRONLY, O_RDONLY, O_RDONLY};
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", against_use[fd]) < 0)
            return;
}

int main(int argc, char **argv) {
    occupy_standard_files();
    signal(SIGPIPE, broken_pipe);
    signal(SIGXFSZ, file_too_large);
    int status = dispatch(argc, argv);
    terminal_progress(NULL);
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == EXIT_DONE) {
        fprintf(stderr, "scry: Cannot write the standard output: %s.\n", strerror(errno));
        return EXIT_COULD_NOT;
    }
    return status;
}
