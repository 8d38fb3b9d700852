/* Core files, plain and compressed. The files they name are looked for where there are none. */
#include <stdio.h>

#include "bytes_file.h"
#include "target/target.h"

static void use(struct target *t) {
    size_t n;
    char bytes[64];
    pid_t *tids = NULL;
    const struct target_mapping *all = target_mappings(t, &n);
    for (size_t i = 0; i < n && i < 64; i++) {
        (void)target_read(t, all[i].start, bytes, sizeof(bytes));
        (void)target_read(t, all[i].end - 8, bytes, sizeof(bytes));
    }
    if (target_threads(t, &tids, &n) == 0 && n) {
        struct target_registers r;
        (void)target_thread_registers(t, tids[0], &r, NULL);
    }
    free(tids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char path[32];
    struct target *t = NULL;
    _cleanup_(closep) int fd = bytes_file(data, size);
    if (fd < 0)
        return 0;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (target_open_core(path, "/proc/self/fdinfo", &t, NULL) < 0)
        return 0;
    use(t);
    target_close(t);
    return 0;
}
