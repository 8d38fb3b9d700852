/* The index of call-frame information: whatever the bytes of an ELF file, pages are compiled on demand in bounded
 * time, and rows come out in address order. */
#include <stdlib.h>

#include "base/mem.h"
#include "bytes_file.h"
#include "unwind/tables.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_part(struct symbol_file *f, u64 start) {
    struct cfi_rows rows = {0};
    (void)cfi_compile_part(f, start, start + TABLE_MAX_ROWS, &rows);
    for (size_t i = 0; i < rows.count; i++)
        if (rows.rows[i].rule >= rows.n_rules || (i && rows.rows[i].address <= rows.rows[i - 1].address))
            abort();
    cfi_rows_free(&rows);
}

static void use(struct symbol_file *f) {
    struct tables *tables = NULL;
    struct tables_file file;
    struct tables_memory memory = {.rules = mem_zalloc(TABLE_MAX_RULES, sizeof(struct unwind_rule))};
    if (memory.rules && cfi_has_index(f) && tables_new(&memory, &tables) == 0 &&
        tables_add_file_lazily(tables, f, 1, &file) == 0)
        for (u32 i = 0; i < MIN(file.n_pages, 8u); i++) {
            check_part(f, (file.first_page + i) << TABLE_PAGE_SHIFT);
            tables_want_page(tables, file.pages_at + i);
        }
    tables_free(tables);
    free(memory.rules);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct symbol_file *f = bytes_elf(data, size);
    if (!f)
        return 0;
    use(f);
    symbol_file_close(f);
    return 0;
}
