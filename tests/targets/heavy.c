/* Children whose memory takes long to make and long to take down: a good part of their time is after their last
 * instruction. Waits for SIGUSR1 when told to, then says by the kernel's account what it and its children took.
 * usage: heavy CHILDREN MEGABYTES [wait] */
#include "target.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

static void child(size_t bytes) {
    char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        _exit(1);
    madvise(p, bytes, MADV_NOHUGEPAGE);
    for (size_t i = 0; i < bytes; i += 4096)
        p[i] = 1;
    _exit(0);
}

static unsigned long long taken_ns(int who) {
    struct rusage r;
    getrusage(who, &r);
    return (unsigned long long)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000000000ull +
           (unsigned long long)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) * 1000ull;
}

int main(int argc, char **argv) {
    int children = argc > 1 ? atoi(argv[1]) : 20, number;
    size_t bytes = (size_t)(argc > 2 ? atoi(argv[2]) : 64) << 20;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    printf("{\"ready\": %d}\n", (int)getpid());
    fflush(stdout);
    if (argc > 3)
        sigwait(&set, &number);
    for (int i = 0; i < children; i++) {
        if (fork() == 0)
            child(bytes);
        wait(NULL);
    }
    printf("{\"cpu_ns\": %llu}\n", taken_ns(RUSAGE_CHILDREN) + taken_ns(RUSAGE_SELF));
    fflush(stdout);
    return 0;
}
