/* Starting the command to be profiled so that nothing of it runs unseen.
 * Private to session/.
 * May use: base/.
 * Must not: know what is done with it. */
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include "base/err.h"

/* What scry raises for itself and the command shall not inherit. */
struct command_limits {
    int niceness;
    struct rlimit open_files;
};

struct command {
    pid_t pid;   /* 0 when none was started */
    int gate;    /* writing end; closing it lets the command run; -1 when it runs */
    int failure; /* reading end: the errno of a failed exec; closes on success */
    bool reaped;
    int status;                   /* wait status once reaped */
    struct command_limits limits; /* of the command; set before command_prepare() */
};

/* Those of this process, as they are now. */
struct command_limits command_limits_now(void);

/* Forks; the child waits at the gate before it execs. */
int command_prepare(char *const *argv, struct command *ret, struct err *err);
/* Opens the gate and waits for the exec. The sentence of a failed exec is the shell's: not found, … A signal that asks
 * to end and that this process holds back meanwhile is the command's too, which then ends before it begins. */
int command_run(struct command *c, const char *name, struct err *err);
/* Reaps the command if it has ended; true once it has. */
bool command_ended(struct command *c);
/* Ends a command that still waits at its gate; leaves a running one alone. */
void command_release(struct command *c);
