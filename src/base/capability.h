/* What the kernel lets this process do.
 * May use: base/.
 * Must not: say it to a person. */
#pragma once

#include <stdbool.h>

/* Whether a capability (CAP_… of linux/capability.h) is effective, in this process's own user namespace. */
bool capability_has(unsigned capability);
