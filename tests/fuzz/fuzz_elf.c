/* ELF files: whatever the bytes, opening, sections, symbols, lines and single names end, and well. */
#include <stdlib.h>
#include <string.h>

#include "bytes_file.h"
#include "symbol/symbol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(struct symbol_file *f) {
    static const char *const sections[] = {".text", ".eh_frame", ".debug_info", ".debug_line", ".bss"};
    struct symbol_section s;
    struct symbol_range r;
    struct symbol_tls tls;
    struct symbol_code code = {.end = 0x2000};
    uint64_t address;
    (void)strlen(symbol_file_build_id(f));
    for (size_t i = 0; i < ARRAY_SIZE(sections); i++)
        if (symbol_file_section(f, sections[i], &s) == 0 && s.data && s.size &&
            ((const char *)s.data)[s.size - 1] == 77)
            symbol_file_release_pages(f);
    (void)symbol_file_find(f, "main", &r);
    (void)symbol_file_find_exported(f, "exported", &r);
    (void)symbol_file_find_tls(f, "spare", &tls);
    (void)symbol_file_is_executable(f);
    (void)symbol_file_code(f, &code);
    (void)symbol_file_offset_to_address(f, 0x1000, &address);
    uint64_t step = (code.end - code.start) / 64 + 1;
    for (int i = 0; i < 64; i++)
        bytes_look_up(f, code.start + (uint64_t)i * step);
    bytes_look_up(f, 0);
    bytes_look_up(f, UINT64_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct symbol_file *f = bytes_elf(data, size);
    if (!f)
        return 0;
    use(f);
    symbol_file_close(f);
    return 0;
}
