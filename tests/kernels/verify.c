/* Loads a BPF object and prints, per program, what the kernel's verifier had to do: instructions
 * processed (the kernel refuses at 1,000,000) and the time for all of them.
 * usage: verify FILE.bpf.o */
#include <bpf/libbpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { STATISTICS_ONLY = 4, LOG_BYTES = 1 << 20 };

static int to_stderr(enum libbpf_print_level level, const char *format, va_list arguments) {
    return level == LIBBPF_DEBUG ? 0 : vfprintf(stderr, format, arguments);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
    if (argc < 2)
        return 2;
    libbpf_set_print(to_stderr);
    struct bpf_object *object = bpf_object__open_file(argv[1], NULL);
    if (!object)
        return 1;
    struct bpf_program *program;
    bpf_object__for_each_program(program, object) {
        bpf_program__set_autoload(program, true);
        bpf_program__set_log_level(program, STATISTICS_ONLY);
        bpf_program__set_log_buf(program, calloc(1, LOG_BYTES), LOG_BYTES);
    }
    double start = now();
    int r = bpf_object__load(object);
    printf("load: %s, %.3f s\n", r ? strerror(-r) : "ok", now() - start);
    bpf_object__for_each_program(program, object) {
        size_t size;
        const char *log = bpf_program__log_buf(program, &size);
        const char *count = log ? strstr(log, "processed ") : NULL;
        printf("%s: %.*s\n", bpf_program__name(program), count ? (int)strcspn(count, "\n") : 3,
               count ? count : "no log");
    }
    return r ? 1 : 0;
}
