/* Preloaded into a program that has a whole interpreter in it: makes a python command of the program.
 *
 * Such a program exports the interpreter's functions for its modules in C. Py_BytesMain() is what the main() of the
 * python command calls, and is called in place of the program's own main(). A program that does not have it, because
 * the linker left it out, gets the little of it that the tests need: [-I] [-S] -c COMMAND | SCRIPT. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int main_fn(int argc, char **argv, char **environment);

struct status { /* PyStatus */
    int type;
    const char *function, *message;
    int code;
};

static main_fn *programs_main;

static void *function(const char *name) {
    return dlsym(RTLD_DEFAULT, name);
}

static int initialize(int argc, char **argv) {
    static uint64_t config[2048]; /* larger than any PyConfig */
    void (*prepare)(void *) = (void (*)(void *))function("PyConfig_InitPythonConfig");
    struct status (*set)(void *, long, char **) =
        (struct status(*)(void *, long, char **))function("PyConfig_SetBytesArgv");
    struct status (*begin)(void *) = (struct status(*)(void *))function("Py_InitializeFromConfig");
    prepare(config);
    return set(config, argc, argv).type || begin(config).type ? 1 : 0;
}

static int run(int argc, char **argv) {
    int (*text)(const char *, void *) = (int (*)(const char *, void *))function("PyRun_SimpleStringFlags");
    int (*file)(FILE *, const char *, int, void *) =
        (int (*)(FILE *, const char *, int, void *))function("PyRun_SimpleFileExFlags");
    int i = 1;
    while (i < argc && argv[i][0] == '-' && strcmp(argv[i], "-c") != 0)
        i++;
    if (i + 1 < argc && argv[i][0] == '-')
        return text(argv[i + 1], NULL);
    FILE *script = i < argc ? fopen(argv[i], "r") : NULL;
    return script ? file(script, argv[i], 1, NULL) : 2;
}

static int start(int argc, char **argv, char **environment) {
    int (*python)(int, char **) = (int (*)(int, char **))function("Py_BytesMain");
    int (*end)(void) = (int (*)(void))function("Py_FinalizeEx");
    if (!end)
        return programs_main(argc, argv, environment);
    unsetenv("LD_PRELOAD");
    volatile int status = python ? python(argc, argv) : initialize(argc, argv); /* no tail call */
    if (!python && status == 0) {
        status = run(argc, argv);
        end();
    }
    return status;
}

int __libc_start_main(main_fn *main, int argc, char **argv, main_fn *init, void (*fini)(void), void (*rtld_fini)(void),
                      void *stack_end) {
    int (*real)(main_fn *, int, char **, main_fn *, void (*)(void), void (*)(void), void *) =
        (int (*)(main_fn *, int, char **, main_fn *, void (*)(void), void (*)(void), void *))dlsym(RTLD_NEXT,
                                                                                                   "__libc_start_main");
    programs_main = main;
    return real(start, argc, argv, init, fini, rtld_fini, stack_end);
}
