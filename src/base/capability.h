/* What the kernel lets this process do.
 * May use: base/.
 * Must not: say it to a person. */
#pragma once

#include <stdbool.h>

/* All that scry has a use for, and how to give it that: setcap takes away what it does not name. /proc/PID/mem of other
 * users' processes wants the right to open their files besides that to trace them. */
#define CAPABILITIES_WANTED "cap_bpf,cap_perfmon,cap_sys_ptrace,cap_dac_read_search,cap_syslog,cap_checkpoint_restore"
#define CAPABILITIES_GRANT "sudo setcap " CAPABILITIES_WANTED "+ep \"$(command -v scry)\""

/* Whether a capability (CAP_… of linux/capability.h) is effective, in this process's own user namespace. */
bool capability_has(unsigned capability);
/* Whether that is another one than the machine's first: its capabilities are none over the machine. */
bool capability_confined(void);
