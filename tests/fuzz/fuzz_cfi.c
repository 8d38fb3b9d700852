/* Call-frame information: whatever the bytes, rows come out in address order and fit into table memory.
 * First byte: even = .eh_frame, odd = .debug_frame; the rest is the section. */
#include <stdlib.h>

#include "base/mem.h"
#include "unwind/tables.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_rows(const struct cfi_rows *rows) {
    for (size_t i = 0; i < rows->count; i++)
        if (rows->rows[i].rule >= rows->n_rules || (i && rows->rows[i].address <= rows->rows[i - 1].address))
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    struct cfi_section section = {.data = data + 1, .size = size - 1, .address = 0x400000, .eh_frame = !(data[0] & 1)};
    struct cfi_rows rows = {0};
    struct tables *tables = NULL;
    struct tables_file file;
    struct tables_memory memory = {.rules = mem_zalloc(TABLE_MAX_RULES, sizeof(struct unwind_rule))};
    int rc = cfi_compile(&section, &rows, NULL);
    check_rows(&rows);
    if (rc == 0 && memory.rules && tables_new(&memory, &tables) == 0 && tables_add_file(tables, &rows, &file) == 0 &&
        !tables_file_covers(&file, rows.rows[0].address))
        abort();
    tables_free(tables);
    cfi_rows_free(&rows);
    free(memory.rules);
    return 0;
}
