/* Runs a fuzz target over files and the files of folders, so that a corpus is an ordinary test. Each input
 * is also run with its end cut off at a few places. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned inputs;

/* In memory of exactly that size, so that a sanitizer sees the first byte too far. */
static void run(const uint8_t *data, size_t size) {
    uint8_t *copy = calloc(1, size ? size : 1);
    if (!copy)
        abort();
    if (size)
        memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
    inputs++;
}

static int run_file(const char *path, size_t size) {
    FILE *f = fopen(path, "rb"); /* ends with the program when it fails */
    uint8_t *data = malloc(size ? size : 1);
    if (!f || !data || fread(data, 1, size, f) != size) {
        fprintf(stderr, "cannot read %s\n", path);
        return 1;
    }
    fclose(f);
    run(data, size);
    for (size_t i = 1; i <= 8 && i < size; i++) {
        run(data, size - i);
        run(data, size * i / 9);
    }
    free(data);
    return 0;
}

static int run_path(const char *path) {
    struct stat st;
    if (stat(path, &st) < 0) {
        fprintf(stderr, "there is no %s\n", path);
        return 1;
    }
    if (!S_ISDIR(st.st_mode))
        return run_file(path, (size_t)st.st_size);
    DIR *dir = opendir(path);
    int failed = dir ? 0 : 1;
    for (struct dirent *e; dir && (e = readdir(dir));) {
        char inner[4096];
        snprintf(inner, sizeof(inner), "%s/%s", path, e->d_name);
        if (e->d_name[0] != '.')
            failed |= run_path(inner);
    }
    if (dir)
        closedir(dir);
    return failed;
}

int main(int argc, char **argv) {
    int failed = 0;
    for (int i = 1; i < argc; i++)
        failed |= run_path(argv[i]);
    run((const uint8_t *)"", 0);
    printf("%u inputs\n", inputs);
    return failed || inputs < 2;
}
