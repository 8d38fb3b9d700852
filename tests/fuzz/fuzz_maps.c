/* The parser of /proc/PID/maps. */
#include <stdlib.h>

#include "target/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct mapping_list list;
    if (maps_parse((const char *)data, size, &list) < 0)
        return 0;
    for (size_t i = 0; i < list.count; i++)
        if (list.all[i].end <= list.all[i].start || (i && list.all[i].start < list.all[i - 1].end))
            abort();
    maps_free(&list);
    return 0;
}
