/* A program that has Python in it: runs a script in the interpreter that it is linked with, or that the library
 * named by EMBEDS_LIBRARY has. Built by the tests, with the headers and flags of each interpreter.
 * usage: embeds SCRIPT */
#include <Python.h>
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char **argv) {
    FILE *script = argc == 2 ? fopen(argv[1], "r") : NULL;
    if (!script)
        return 2;
#ifdef EMBEDS_LIBRARY
    void *library = dlopen(EMBEDS_LIBRARY, RTLD_NOW | RTLD_GLOBAL);
    if (!library)
        return 3;
    void (*start)(void) = (void (*)(void))dlsym(library, "Py_Initialize");
    int (*run)(FILE *, const char *, int) = (int (*)(FILE *, const char *, int))dlsym(library, "PyRun_SimpleFileEx");
    start();
    volatile int status = run(script, argv[1], 0); /* no tail call: main() stays on the stack */
#else
    Py_Initialize();
    volatile int status = PyRun_SimpleFileEx(script, argv[1], 0);
#endif
    return status;
}
