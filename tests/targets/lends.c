/* A program whose main thread makes thread states that other threads run. Built by the tests, with the headers and flags
 * of each interpreter.
 * usage: lends FILE lent|waiting|passed
 *   lent     one thread runs the state, busy in Python
 *   waiting  the same, outside of the lock
 *   passed   two threads have it in turn; the second is busy in Python, the first stays there without it
 * Writes a line {"pid": …, "runs": tid of the thread that runs the state} to FILE once it does. */
#define _GNU_SOURCE
#include <Python.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static PyThreadState *made;
static const char *mode;
static char code[512];

static void run(const char *what) {
    PyEval_AcquireThread(made);
    volatile int status = PyRun_SimpleString(what); /* no tail call */
    (void)status;
    PyEval_ReleaseThread(made);
}

static void *worker(void *unused) {
    (void)unused;
    run(code);
    return NULL;
}

static void *first_of_two(void *unused) {
    pthread_t second;
    run("def before():\n    pass\nbefore()\n");
    pthread_create(&second, NULL, worker, NULL);
    pthread_join(second, NULL);
    return unused;
}

int main(int argc, char **argv) {
    pthread_t first;
    if (argc != 3)
        return 2;
    mode = argv[2];
    Py_Initialize();
#if PY_VERSION_HEX < 0x03070000
    PyEval_InitThreads();
#endif
    snprintf(
        code, sizeof(code),
        "def in_lent_state():\n"
        "    import os, time\n"
        "    with open('%s', 'w') as f:\n"
        "        f.write('{\"pid\": %%d, \"runs\": %%s}\\n' %% (os.getpid(), os.readlink('/proc/thread-self').rsplit('/')[-1]))\n"
        "    while True:\n"
        "        %s\n"
        "in_lent_state()\n",
        argv[1], strcmp(mode, "waiting") == 0 ? "time.sleep(1000)" : "pass");
    made = PyThreadState_New(PyThreadState_Get()->interp);
    PyThreadState *own = PyEval_SaveThread();
    pthread_create(&first, NULL, strcmp(mode, "passed") == 0 ? first_of_two : worker, NULL);
    pthread_join(first, NULL);
    PyEval_RestoreThread(own);
    return 0;
}
