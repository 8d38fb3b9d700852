/* Linkage stubs (.plt, .plt.sec, .plt.got). A stub jumps through a slot of the global offset table, and a
 * relocation says whose slot that is; the order of stubs and relocations says nothing. x86-64:
 *     [f3 0f 1e fa]  [f2]  ff 25 disp32     endbr64, bnd, jmp *disp32(%rip) */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "symbol/symtab.h"

enum { STUB_BYTES = 16, SMALL_STUB_BYTES = 8, MAX_STUB_NAMES = 64 << 20, MAX_SLOTS = 1 << 20 };

struct slot {
    uint64_t address;
    uint32_t symbol; /* index into .dynsym */
};

struct slots {
    struct slot *all;
    size_t count, capacity;
};

static int by_address(const void *a, const void *b) {
    const struct slot *x = a, *y = b;
    return x->address < y->address ? -1 : x->address > y->address;
}

static int add_slots(struct slots *slots, const struct elf_image *e, const char *section) {
    size_t size;
    const Elf64_Shdr *s = elf_image_section(e, section);
    const uint8_t *bytes = s ? elf_image_bytes(e, s, &size) : NULL;
    for (size_t i = 0; bytes && i < size / sizeof(Elf64_Rela); i++) {
        Elf64_Rela r;
        memcpy(&r, bytes + i * sizeof(r), sizeof(r));
        uint64_t type = ELF64_R_TYPE(r.r_info);
        if ((type != R_X86_64_JUMP_SLOT && type != R_X86_64_GLOB_DAT) || slots->count == MAX_SLOTS)
            continue;
        if (mem_grow((void **)&slots->all, &slots->capacity, slots->count + 1, sizeof(*slots->all)) < 0)
            return -ENOMEM;
        slots->all[slots->count++] = (struct slot){r.r_offset, (uint32_t)ELF64_R_SYM(r.r_info)};
    }
    return 0;
}

static const struct slot *find_slot(const struct slots *slots, uint64_t address) {
    struct slot key = {.address = address};
    return slots->count ? bsearch(&key, slots->all, slots->count, sizeof(key), by_address) : NULL;
}

/* The slot that the stub at `address` jumps through; 0 when it is none. */
static uint64_t slot_of(const uint8_t *code, size_t size, uint64_t address) {
    static const uint8_t endbr[] = {0xf3, 0x0f, 0x1e, 0xfa};
    size_t at = size >= 4 && memcmp(code, endbr, 4) == 0 ? 4 : 0;
    int32_t displacement;
    if (at < size && code[at] == 0xf2)
        at++;
    if (size < at + 6 || code[at] != 0xff || code[at + 1] != 0x25)
        return 0;
    memcpy(&displacement, code + at + 2, 4);
    return address + at + 6 + (uint64_t)(int64_t)displacement;
}

struct stub_adder {
    struct symbol_builder *builder;
    struct symbol_table symbols;
    struct slots slots;
    struct buf names;
    uint32_t source;
};

static int add_stub(struct stub_adder *a, uint64_t address, uint32_t size, uint32_t symbol) {
    Elf64_Sym s;
    const char *name;
    if (!symbol_table_entry(&a->symbols, symbol, &s, &name) || !name[0])
        return 0;
    struct symbol_entry stub = {
        .address = address, .size = size, .name = a->source << SYMBOL_SOURCE_SHIFT | (uint32_t)a->names.len};
    buf_addf(&a->names, "%.500s@plt", name);
    buf_addc(&a->names, '\0');
    return a->names.failed ? 0 : symbol_builder_add(a->builder, &stub, 1);
}

static int add_section(struct stub_adder *a, const struct elf_image *e, const char *section) {
    size_t size;
    const Elf64_Shdr *s = elf_image_section(e, section);
    const uint8_t *code = s ? elf_image_bytes(e, s, &size) : NULL;
    size_t step = s && s->sh_entsize == SMALL_STUB_BYTES ? SMALL_STUB_BYTES : STUB_BYTES;
    for (size_t at = 0; code && at + step <= size; at += step) {
        uint64_t address = s->sh_addr + at;
        const struct slot *slot = find_slot(&a->slots, slot_of(code + at, step, address));
        if (slot && add_stub(a, address, (uint32_t)step, slot->symbol) < 0)
            return -ENOMEM;
    }
    return 0;
}

int symbol_builder_add_stubs(struct symbol_list *list, struct symbol_builder *b, const struct elf_image *e) {
    static const char *const sections[] = {".plt", ".plt.sec", ".plt.got"};
    struct stub_adder a = {.builder = b, .names = {.limit = MAX_STUB_NAMES}, .source = list->n_sources};
    if (!symbol_table_open(e, SHT_DYNSYM, &a.symbols))
        return 0;
    int rc = add_slots(&a.slots, e, ".rela.plt");
    if (rc == 0)
        rc = add_slots(&a.slots, e, ".rela.dyn");
    if (a.slots.count)
        qsort(a.slots.all, a.slots.count, sizeof(*a.slots.all), by_address);
    for (size_t i = 0; i < ARRAY_SIZE(sections) && rc == 0; i++)
        rc = add_section(&a, e, sections[i]);
    free(a.slots.all);
    list->sources[a.source].size = a.names.len;
    list->sources[a.source].bytes = list->stub_names = a.names.data;
    list->n_sources++;
    return rc;
}
