/* Spends most of its time in the kernel: reads /dev/zero in large pieces.
 * ns["kernel"] and ns["user"] are the kernel's own account of it.
 * usage: syscalls [SECONDS] */
#include "target.h"

#include <fcntl.h>
#include <sys/resource.h>

static const char *const names[] = {"kernel", "user", NULL};
static char room[1 << 20];
static volatile uint64_t sink;

NOINLINE static void reads(int fd) {
    if (read(fd, room, sizeof room) < 0)
        exit(1);
}

NOINLINE static void thinks(void) {
    sink = target_spin(sink, 20000);
}

int main(int argc, char **argv) {
    target_start(argc, argv, names);
    int fd = open("/dev/zero", O_RDONLY);
    target_ready();
    for (int more = 1; more;) {
        reads(fd);
        thinks();
        struct rusage u;
        getrusage(RUSAGE_SELF, &u);
        target_ns[0] = (uint64_t)u.ru_stime.tv_sec * 1000000000u + (uint64_t)u.ru_stime.tv_usec * 1000u;
        target_ns[1] = (uint64_t)u.ru_utime.tv_sec * 1000000000u + (uint64_t)u.ru_utime.tv_usec * 1000u;
        more = target_more();
    }
    target_report();
    return 0;
}
