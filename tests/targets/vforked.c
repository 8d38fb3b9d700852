/* Waits uninterruptibly in the kernel for a child of vfork(), so that no debugger can stop it. The true stack:
 *   waits, [by_frame,] middle, main, …
 * waits() and middle() are left by the stack pointer alone; by_frame() needs the frame pointer, which nobody
 * can read then.
 * usage: vforked sp | fp */
#include "target.h"

#include <sys/prctl.h>
#include <sys/syscall.h>

static volatile int sink;

NOINLINE static void child(pid_t parent) {
    char text[64];
    int n = snprintf(text, sizeof text, "{\"ready\": %d}\n", (int)parent);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (write(1, text, (size_t)n) == n)
        for (;;)
            syscall(SYS_pause);
    _exit(1);
}

/* The C library's vfork() cannot be left without the registers; this can. */
NOINLINE static int waits(void) {
    long pid = SYS_vfork;
    pid_t self = getpid();
    __asm__ volatile("syscall" : "+a"(pid) : : "rcx", "r11", "memory");
    if (pid == 0)
        child(self);
    sink = (int)pid;
    return (int)pid;
}

NOINLINE static int by_frame(size_t n) {
    volatile char *room = __builtin_alloca(n);
    room[0] = 1;
    int pid = waits();
    return pid + room[0];
}

NOINLINE static int middle(int by_sp, size_t n) {
    int pid = by_sp ? waits() : by_frame(n);
    sink = pid;
    return pid + 1;
}

int main(int argc, char **argv) {
    if (argc < 2)
        return 2;
    sink = middle(strcmp(argv[1], "sp") == 0, (size_t)argc * 100);
    return 0;
}
