#include "base/capability.h"

#include <linux/capability.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

bool capability_has(unsigned capability) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{0}};
    if (capability >= 64 || syscall(SYS_capget, &header, data) < 0)
        return false;
    return data[capability / 32].effective >> (capability % 32) & 1;
}

/* The machine's first user namespace maps every id to itself. */
bool capability_confined(void) {
    unsigned inside = 0, outside = 0, count = UINT32_MAX;
    FILE *f = fopen("/proc/self/uid_map", "re");
    if (!f)
        return false;
    bool whole = fscanf(f, "%u %u %u", &inside, &outside, &count) == 3 && !inside && !outside && count == UINT32_MAX;
    fclose(f);
    return !whole;
}
