/* Split debug information: whatever the bytes of a program and of the .dwo or .dwp beside it, look-ups end, and well.
 * An input is a byte that says which of the two it is, four that say how long the program is, the program, and the
 * other file. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/reader.h"
#include "bytes_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LOOKUPS = 64 };

static char folder[] = "/tmp/scry-fuzz-XXXXXX";

static void remove_folder(void) {
    rmdir(folder);
}

static bool make_folder(void) {
    static bool made;
    if (!made && mkdtemp(folder)) {
        made = true;
        atexit(remove_folder);
    }
    return made;
}

static void write_file(const char *path, const uint8_t *bytes, size_t size) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, bytes, size) != (ssize_t)size)
        abort();
    close(fd);
}

static void use(const uint8_t *program, size_t size, const char *path) {
    struct symbol_search nowhere = {.debug_root = "/nonexistent"};
    struct symbol_file *f = NULL;
    struct symbol_code code = {.end = 0x2000};
    int fd = bytes_file(program, size);
    if (fd < 0 || symbol_file_open(fd, path, &nowhere, &f, NULL) < 0)
        return;
    (void)symbol_file_code(f, &code);
    uint64_t step = (code.end - code.start) / LOOKUPS + 1;
    for (uint64_t i = 0; i < LOOKUPS; i++) {
        bytes_look_up(f, code.start + i * step);
        if (i % 16 == 15)
            symbol_file_forget(f, false);
    }
    symbol_file_close(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char path[64], beside[64];
    struct reader r = reader_of(data, size);
    bool package = reader_u8(&r) & 1;
    size_t length = reader_u32(&r);
    const uint8_t *program = reader_bytes(&r, length);
    if (!program || !make_folder())
        return 0;
    snprintf(path, sizeof(path), "%s/p", folder);
    snprintf(beside, sizeof(beside), "%s/%s", folder, package ? "p.dwp" : "u.dwo");
    write_file(beside, r.pos, reader_left(&r));
    use(program, length, path);
    unlink(beside);
    return 0;
}
