/* A program whose main thread has several thread states, each in an interpreter of its own, that call each other. Built by
 * the tests, with the headers and flags of each interpreter.
 * usage: crosses FILE PATH [busy|one]
 * PATH has a digit for each call: the state that runs it, 0 for the main interpreter's. Call number n is a function
 * level_n(). When all stand, writes a line {"pid": …} to FILE and waits, or is busy, without the lock. With `one` all
 * states are of one interpreter. */
#include <Python.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static PyThreadState *states[10];
static const char *file, *path;
static int busy;

static void stand(void) {
    Py_BEGIN_ALLOW_THREADS;
    FILE *f = fopen(file, "w");
    fprintf(f, "{\"pid\": %d}\n", (int)getpid());
    fclose(f);
    while (busy)
        __asm__ volatile("");
    pause();
    Py_END_ALLOW_THREADS;
}

static void descend(int n) {
    char code[200];
    if (!path[n]) {
        stand();
        return;
    }
    PyThreadState *before = PyThreadState_Swap(states[path[n] - '0']);
    snprintf(code, sizeof(code), "import crosses\ndef level_%d():\n    crosses.descend(%d)\nlevel_%d()\n", n, n + 1, n);
    volatile int status = PyRun_SimpleString(code); /* no tail call */
    if (status)
        exit(1);
    PyThreadState_Swap(before);
}

static PyObject *call(PyObject *self, PyObject *args) {
    int n;
    (void)self;
    if (!PyArg_ParseTuple(args, "i", &n))
        return NULL;
    descend(n);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {{"descend", call, METH_VARARGS, NULL}, {NULL, NULL, 0, NULL}};
static PyModuleDef_Slot slots[] = {{0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "crosses", NULL, 0, methods, slots, NULL, NULL, NULL};

static PyObject *begin(void) {
    return PyModuleDef_Init(&module);
}

int main(int argc, char **argv) {
    if (argc != 3 && argc != 4)
        return 2;
    busy = argc == 4 && strcmp(argv[3], "busy") == 0;
    file = argv[1];
    path = argv[2];
    PyImport_AppendInittab("crosses", begin);
    Py_Initialize();
    states[0] = PyThreadState_Get();
    for (int i = 1; i < 4; i++)
        states[i] = argc == 4 && !busy ? PyThreadState_New(states[0]->interp) : Py_NewInterpreter();
    PyThreadState_Swap(states[0]);
    descend(0);
    return 0;
}
