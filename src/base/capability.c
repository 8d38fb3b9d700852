#include "base/capability.h"

#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

bool capability_has(unsigned capability) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{0}};
    if (capability >= 64 || syscall(SYS_capget, &header, data) < 0)
        return false;
    return data[capability / 32].effective >> (capability % 32) & 1;
}
