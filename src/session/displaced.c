#include "session/displaced.h"

#include <fcntl.h>
#include <stdio.h>

#include "base/clock.h"

/* As long as others need one CPU less than there are, one is free for us; else it is so as often as one is idle. */
uint64_t displaced_of(uint64_t idle_ns, uint64_t self_ns, uint64_t wall_ns) {
    if (wall_ns == 0 || idle_ns + self_ns >= wall_ns)
        return 0;
    return (uint64_t)((double)self_ns * (1 - (double)idle_ns / (double)wall_ns));
}

uint64_t displaced_idle(const char *stat, uint64_t ticks_per_second) {
    unsigned long long idle, waiting; /* for a disk: it would run us as well */
    if (sscanf(stat, "cpu %*u %*u %*u %llu %llu", &idle, &waiting) != 2)
        return 0;
    return (uint64_t)((double)(idle + waiting) * 1e9 / (double)ticks_per_second);
}

static uint64_t idle_now(void) {
    char text[512];
    _cleanup_(closep) int fd = open("/proc/stat", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
    text[MAX(n, 0)] = '\0';
    return displaced_idle(text, (uint64_t)MAX(sysconf(_SC_CLK_TCK), 1L));
}

void displaced_look(struct displaced *d, uint64_t now_ns) {
    uint64_t idle_ns = idle_now(), self_ns = clock_cpu_ns();
    if (d->at_ns)
        d->total_ns +=
            displaced_of(idle_ns - MIN(d->idle_ns, idle_ns), self_ns - d->self_ns, now_ns - MIN(d->at_ns, now_ns));
    d->idle_ns = idle_ns;
    d->self_ns = self_ns;
    d->at_ns = now_ns;
}
