/* Loads two libraries in turn at what is mostly the same address, works in each, and unloads it:
 * what is known of an address must not outlive the mapping it was learnt from.
 * usage: dlopen [SECONDS [DIRECTORY]]      the libraries lie beside the program unless told */
#include "target.h"

#include <dlfcn.h>
#include <limits.h>

static const char *const names[] = {"plugin_inner_a", "plugin_inner_b", NULL};
static volatile uint64_t sink;

NOINLINE static void visit(int which, const char *directory) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/libplugin_%c.so", directory, 'a' + which);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        exit(1);
    }
    uint64_t (*work)(uint64_t, unsigned);
    *(void **)&work = dlsym(library, "plugin_work");
    uint64_t end = target_clock(CLOCK_MONOTONIC) + 150000000u, t = target_cpu();
    while (target_clock(CLOCK_MONOTONIC) < end)
        sink = work(sink, 20000);
    target_charge(which, target_cpu() - t);
    dlclose(library);
}

int main(int argc, char **argv) {
    target_start(argc, argv, names);
    char self[PATH_MAX] = "";
    if (readlink("/proc/self/exe", self, sizeof self - 1) < 0)
        return 1;
    *strrchr(self, '/') = 0;
    target_ready();
    for (int i = 0; target_more(); i ^= 1) {
        visit(i, argc > 2 ? argv[2] : self);
        target_loops++;
    }
    target_report();
    return 0;
}
