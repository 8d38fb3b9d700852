/* Makes the strange pids: prints {"ready": PID} of a child in the state asked for.
 * usage: daemonic zombie|stopped [SECONDS] */
#include "target.h"

#include <sys/prctl.h>
#include <sys/wait.h>

int main(int argc, char **argv) {
    if (argc < 2)
        return 2;
    pid_t pid = fork();
    if (!pid) {
        if (!strcmp(argv[1], "zombie"))
            _exit(0);
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test kills the parent as soon as it has seen enough */
        for (;;)
            pause();
    }
    siginfo_t info;
    if (!strcmp(argv[1], "zombie"))
        waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
    else {
        usleep(100 * 1000); /* let it reach pause() */
        kill(pid, SIGSTOP);
    }
    printf("{\"ready\": %d}\n", (int)pid);
    fflush(stdout);
    sleep(argc > 2 ? (unsigned)atoi(argv[2]) : 60);
    return 0;
}
