#include "unwind/cfi.h"

#include <errno.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/reader.h"
#include "base/sort.h"
#include "unwind/cfi_state.h"

enum { MAX_REMEMBERED = 16, MAX_ROWS = 16 << 20 /* sixteen times a compiler's */ };

/* ---- rows and rules ---- */

void cfi_rows_free(struct cfi_rows *rows) {
    free(rows->rows);
    free(rows->rules);
    if (rows->rule_index)
        hash_index_free(rows->rule_index);
    free(rows->rule_index);
    *rows = (struct cfi_rows){0};
}

struct rule_key {
    const struct cfi_rows *rows;
    const struct unwind_rule *rule;
};

static bool rule_equal(const void *ctx, uint32_t id) {
    const struct rule_key *k = ctx;
    return memcmp(&k->rows->rules[id], k->rule, sizeof(*k->rule)) == 0;
}

static uint64_t hash_rule(const struct unwind_rule *rule) {
    uint64_t word[3], h = 0;
    _Static_assert(sizeof(word) == sizeof(*rule), "the whole of it");
    memcpy(word, rule, sizeof(word));
    for (unsigned i = 0; i < ARRAY_SIZE(word); i++)
        h = hash_mix(h, word[i]);
    return h;
}

u32 cfi_rule(struct cfi_rows *rows, const struct unwind_rule *rule) {
    if (!rows->rule_index) {
        rows->rule_index = mem_zalloc(1, sizeof(*rows->rule_index));
        struct unwind_rule none = {0};
        if (!rows->rule_index)
            return 0;
        cfi_rule(rows, &none);
    }
    struct rule_key key = {.rows = rows, .rule = rule};
    uint64_t hash = hash_rule(rule);
    u16 *recent = &rows->recent[hash % CFI_RECENT_RULES];
    if (*recent < rows->n_rules && memcmp(&rows->rules[*recent], rule, sizeof(*rule)) == 0)
        return *recent;
    uint32_t id = hash_index_find(rows->rule_index, hash, rule_equal, &key);
    if (id != UINT32_MAX) {
        *recent = (u16)MIN(id, (uint32_t)UINT16_MAX);
        return id;
    }
    if (rows->n_rules >> CFI_RULE_BITS ||
        mem_grow((void **)&rows->rules, &rows->cap_rules, rows->n_rules + 1, sizeof(*rule)) < 0 ||
        hash_index_add(rows->rule_index, hash, (uint32_t)rows->n_rules) < 0)
        return 0;
    rows->rules[rows->n_rules] = *rule;
    return (u32)rows->n_rules++;
}

int cfi_add_row(struct cfi_rows *rows, u64 address, u32 rule) {
    if (rows->count) {
        struct cfi_row *last = &rows->rows[rows->count - 1];
        if (last->address == address) { /* nothing ran under the earlier rule */
            last->rule = rule;
            return 0;
        }
        if (last->rule == rule)
            return 0;
    }
    if (rows->count >= MAX_ROWS ||
        mem_grow((void **)&rows->rows, &rows->capacity, rows->count + 1, sizeof(*rows->rows)) < 0)
        return -ENOMEM;
    rows->rows[rows->count++] = (struct cfi_row){.address = address, .rule = rule};
    return 0;
}

/* ---- entries ---- */

struct cie {
    u64 offset; /* in the section: its identity */
    u64 code_align;
    s64 data_align;
    u64 ra_register;
    u8 fde_encoding;
    bool signal, augmented;
    const u8 *program;
    size_t program_size;
};

/* 24 bytes: there are millions in a large file. */
struct fde {
    u64 start; /* must be first: they are sorted by it */
    u32 size, cie;
    u32 program, program_size; /* offset in the section */
};

struct compiler {
    const struct cfi_section *section;
    struct cie *cies;
    size_t n_cies, cap_cies;
    struct u64_map cie_index; /* offset to index: a search along the list would be work in its square */
    struct fde *fdes;
    size_t n_fdes, cap_fdes;
    struct cfi_rows *out;
    /* What the functions of one CIE begin with; neighbours nearly always share it. */
    const struct cie *entered;
    int entered_rc; /* 0, or -EBADMSG when its program is not readable */
    struct cfi_state initial;
    struct cfi_state remembered[MAX_REMEMBERED]; /* of the program that runs */
};

static u64 address_of(const struct compiler *c, const u8 *at) {
    return c->section->address + (u64)(at - (const u8 *)c->section->data);
}

/* A pointer in one of the DW_EH_PE encodings. */
static u64 encoded_pointer(const struct compiler *c, struct reader *r, u8 encoding) {
    if (encoding == 0xff) /* DW_EH_PE_omit */
        return 0;
    u64 base = (encoding & 0x70) == 0x10 ? address_of(c, r->pos) : 0, value;
    switch (encoding & 0x0f) {
    case 0x00:
    case 0x04:
    case 0x0c:
        value = reader_u64(r);
        break;
    case 0x01:
        value = reader_uleb(r);
        break;
    case 0x02:
        value = reader_u16(r);
        break;
    case 0x03:
        value = reader_u32(r);
        break;
    case 0x09:
        value = (u64)reader_sleb(r);
        break;
    case 0x0a:
        value = (u64)(s64)(int16_t)reader_u16(r);
        break;
    case 0x0b:
        value = (u64)(s64)(int32_t)reader_u32(r);
        break;
    default:
        r->failed = true;
        return 0;
    }
    return value + base;
}

/* The data of an augmentation string "z…". */
static void read_augmentation(const struct compiler *c, struct reader *r, const char *letters, struct cie *ret) {
    ret->augmented = true;
    u64 size = reader_uleb(r);
    const u8 *data = reader_bytes(r, size);
    struct reader a = reader_of(data, data ? size : 0);
    for (; *letters; letters++) {
        if (*letters == 'R')
            ret->fde_encoding = reader_u8(&a);
        else if (*letters == 'L')
            reader_u8(&a);
        else if (*letters == 'P')
            encoded_pointer(c, &a, reader_u8(&a));
        else if (*letters == 'S')
            ret->signal = true;
        else if (*letters != 'B')
            break;
    }
}

static bool read_cie(const struct compiler *c, struct reader r, u64 offset, struct cie *ret) {
    *ret = (struct cie){.offset = offset};
    u8 version = reader_u8(&r);
    const char *augmentation = reader_cstr(&r);
    if (version >= 4) {
        u8 address_size = reader_u8(&r), segment_size = reader_u8(&r);
        if (address_size != 8 || segment_size != 0)
            return false;
    }
    ret->code_align = reader_uleb(&r);
    ret->data_align = reader_sleb(&r);
    ret->ra_register = version == 1 ? reader_u8(&r) : reader_uleb(&r);
    if (augmentation[0] == 'z')
        read_augmentation(c, &r, augmentation + 1, ret);
    else if (augmentation[0])
        return false;
    ret->program = r.pos;
    ret->program_size = reader_left(&r);
    return !r.failed && ret->ra_register == 16;
}

/* Index of the CIE at an offset, reading it at first use; UINT32_MAX when it is broken. */
static u32 cie_at(struct compiler *c, u64 offset) {
    const uint64_t *known = u64_map_get(&c->cie_index, offset);
    if (known)
        return c->cies[*known].program ? (u32)*known : UINT32_MAX; // NOLINT(clang-analyzer-core.NullDereference)
    if (offset >= c->section->size || mem_grow((void **)&c->cies, &c->cap_cies, c->n_cies + 1, sizeof(*c->cies)) < 0 ||
        u64_map_put(&c->cie_index, offset, c->n_cies) < 0)
        return UINT32_MAX;
    struct reader r = reader_of((const u8 *)c->section->data + offset, c->section->size - offset);
    bool wide;
    u64 length = reader_dwarf_length(&r, &wide);
    const u8 *body = reader_bytes(&r, length);
    struct cie *cie = &c->cies[c->n_cies];
    size_t skip = wide && !c->section->eh_frame ? 8 : 4;
    bool ok = body && length > skip && read_cie(c, reader_of(body + skip, length - skip), offset, cie);
    if (!ok)
        cie->program = NULL;
    cie->offset = offset;
    return ok ? (u32)c->n_cies++ : (c->n_cies++, UINT32_MAX);
}

static int read_fde(struct compiler *c, struct reader r, u64 cie_offset) {
    u32 cie = cie_at(c, cie_offset);
    if (cie == UINT32_MAX)
        return -EBADMSG;
    struct fde f = {.cie = cie};
    u8 encoding = c->section->eh_frame ? c->cies[cie].fde_encoding : 0;
    f.start = encoded_pointer(c, &r, encoding);
    u64 size = encoded_pointer(c, &r, encoding & 0x0f), end = f.start + size;
    if (c->cies[cie].augmented)
        reader_bytes(&r, reader_uleb(&r));
    u64 program = (u64)(r.pos - (const u8 *)c->section->data);
    if (r.failed || end <= f.start || end >> CFI_ADDRESS_BITS || size > UINT32_MAX ||
        program + reader_left(&r) > UINT32_MAX)
        return -EBADMSG;
    if (c->section->code_end && (f.start < c->section->code_start || end > c->section->code_end))
        return 0;
    f.size = (u32)size;
    f.program = (u32)program;
    f.program_size = (u32)reader_left(&r);
    if (mem_grow((void **)&c->fdes, &c->cap_fdes, c->n_fdes + 1, sizeof(f)) < 0)
        return -ENOMEM;
    c->fdes[c->n_fdes++] = f;
    return 0;
}

/* One entry, a CIE or an FDE. Returns -ENOMEM only; broken entries are counted. */
static int read_entry(struct compiler *c, struct reader body, bool wide) {
    u64 at = (u64)(body.pos - (const u8 *)c->section->data);
    bool eh = c->section->eh_frame;
    u64 id = wide && !eh ? reader_u64(&body) : reader_u32(&body);
    if (body.failed || (eh && id == 0) || (!eh && id == (wide ? UINT64_MAX : 0xffffffffu)))
        return 0; /* a CIE: read when an FDE asks for it */
    int rc = read_fde(c, body, eh ? at - id : id);
    if (rc == -EBADMSG)
        c->out->statistics.broken++;
    return rc == -ENOMEM ? rc : 0;
}

/* The entry where `r` stands, which then stands behind it. Returns -ENOMEM only. */
static int read_next(struct compiler *c, struct reader *r) {
    bool wide;
    u64 length = reader_dwarf_length(r, &wide);
    if (length == 0) /* a terminator; linkers may leave one in the middle */
        return 0;
    const u8 *body = reader_bytes(r, length);
    return body ? read_entry(c, reader_of(body, length), wide) : 0;
}

static int read_entries(struct compiler *c) {
    struct reader r = reader_of(c->section->data, c->section->size);
    int rc = 0;
    while (rc == 0 && !r.failed && reader_left(&r) >= 4)
        rc = read_next(c, &r);
    return rc;
}

static int read_some_entries(struct compiler *c, const u64 *offsets, size_t n) {
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++) {
        struct reader r = reader_of(c->section->data, c->section->size);
        if (reader_bytes(&r, offsets[i]))
            rc = read_next(c, &r);
    }
    return rc;
}

/* ---- running a call-frame program ---- */

struct machine {
    struct compiler *c;
    const struct cie *cie;
    struct cfi_state state;
    unsigned n_remembered;
    u64 at, end;
    bool emits; /* rows are wanted: the FDE's program, not the CIE's */
    int error;
};

static void emit(struct machine *m) {
    struct cfi_rows *out = m->c->out;
    if (!m->emits || m->error)
        return;
    struct unwind_rule rule;
    if (!cfi_state_rule(&m->state, m->cie->signal, &rule))
        out->statistics.inexpressible++;
    m->error = cfi_add_row(out, m->at, cfi_rule(out, &rule));
}

/* Locations only grow, whatever a file says: rows are sorted because of it. */
static void move_to(struct machine *m, u64 address) {
    if (address < m->at) {
        m->error = -EBADMSG;
        return;
    }
    emit(m);
    m->at = address;
}

static void advance(struct machine *m, u64 delta) {
    u64 bytes, to;
    if (__builtin_mul_overflow(delta, m->cie->code_align, &bytes) || __builtin_add_overflow(m->at, bytes, &to))
        m->error = -EBADMSG;
    else
        move_to(m, to);
}

/* An operand in units of the data alignment; wraps rather than overflows. */
static s64 scaled(const struct machine *m, u64 operand) {
    return (s64)(operand * (u64)m->cie->data_align);
}

static struct cfi_register *reg(struct machine *m, u64 number) {
    static _Thread_local struct cfi_register ignored; /* vector registers and the like */
    return number < WALK_REGISTERS ? &m->state.registers[number] : &ignored;
}

static void set(struct machine *m, u64 number, u8 how, s64 value) {
    *reg(m, number) = (struct cfi_register){.how = how, .value = value};
}

static struct cfi_expression block(struct reader *r) {
    u64 size = reader_uleb(r);
    const u8 *bytes = reader_bytes(r, size);
    return (struct cfi_expression){.bytes = bytes, .size = bytes ? (u32)size : 0};
}

static void set_expression(struct machine *m, struct reader *r, u8 how) {
    u64 number = reader_uleb(r);
    struct cfi_expression e = block(r);
    *reg(m, number) = (struct cfi_register){.how = how, .size = e.size, .bytes = e.bytes};
}

static void define_cfa(struct machine *m, u64 number, s64 offset) {
    m->state.cfa_is_expression = false;
    m->state.cfa_register = number < WALK_REGISTERS ? (u32)number : WALK_REGISTERS;
    m->state.cfa_offset = offset;
}

static bool step_cfa(struct machine *m, struct reader *r, u8 op) {
    u64 number;
    switch (op) {
    case 0x0c: /* def_cfa */
        number = reader_uleb(r);
        define_cfa(m, number, (s64)reader_uleb(r));
        return true;
    case 0x12: /* def_cfa_sf */
        number = reader_uleb(r);
        define_cfa(m, number, scaled(m, (u64)reader_sleb(r)));
        return true;
    case 0x0d: /* def_cfa_register */
        define_cfa(m, reader_uleb(r), m->state.cfa_offset);
        return true;
    case 0x0e: /* def_cfa_offset */
        define_cfa(m, m->state.cfa_register, (s64)reader_uleb(r));
        return true;
    case 0x13: /* def_cfa_offset_sf */
        define_cfa(m, m->state.cfa_register, scaled(m, (u64)reader_sleb(r)));
        return true;
    case 0x0f: /* def_cfa_expression */
        m->state.cfa_is_expression = true;
        m->state.cfa_expression = block(r);
        return true;
    default:
        return false;
    }
}

static bool step_register(struct machine *m, struct reader *r, u8 op) {
    u64 number = 0;
    if (op == 0x10 || op == 0x16) { /* expression, val_expression */
        set_expression(m, r, op == 0x10 ? CFI_EXPRESSION : CFI_VAL_EXPRESSION);
        return true;
    }
    switch (op) {
    case 0x05: /* offset_extended */
        number = reader_uleb(r);
        set(m, number, CFI_OFFSET, scaled(m, reader_uleb(r)));
        return true;
    case 0x11: /* offset_extended_sf */
        number = reader_uleb(r);
        set(m, number, CFI_OFFSET, scaled(m, (u64)reader_sleb(r)));
        return true;
    case 0x2f: /* GNU_negative_offset_extended */
        number = reader_uleb(r);
        set(m, number, CFI_OFFSET, scaled(m, -reader_uleb(r)));
        return true;
    case 0x14: /* val_offset */
        number = reader_uleb(r);
        set(m, number, CFI_VAL_OFFSET, scaled(m, reader_uleb(r)));
        return true;
    case 0x15: /* val_offset_sf */
        number = reader_uleb(r);
        set(m, number, CFI_VAL_OFFSET, scaled(m, (u64)reader_sleb(r)));
        return true;
    case 0x06: /* restore_extended */
        number = reader_uleb(r);
        *reg(m, number) = m->c->initial.registers[number < WALK_REGISTERS ? number : 0];
        return true;
    case 0x07: /* undefined */
        set(m, reader_uleb(r), CFI_UNDEFINED, 0);
        return true;
    case 0x08: /* same_value */
        set(m, reader_uleb(r), CFI_SAME, 0);
        return true;
    case 0x09: /* register */
        number = reader_uleb(r);
        set(m, number, CFI_REGISTER, (s64)reader_uleb(r));
        return true;
    default:
        return false;
    }
}

static bool step_other(struct machine *m, struct reader *r, u8 op) {
    switch (op) {
    case 0x00: /* nop */
        return true;
    case 0x01: /* set_loc */
        move_to(m, encoded_pointer(m->c, r, m->c->section->eh_frame ? m->cie->fde_encoding : 0));
        return true;
    case 0x02: /* advance_loc1, 2, 4 */
        advance(m, reader_u8(r));
        return true;
    case 0x03:
        advance(m, reader_u16(r));
        return true;
    case 0x04:
        advance(m, reader_u32(r));
        return true;
    case 0x0a: /* remember_state */
        if (m->n_remembered == MAX_REMEMBERED)
            return false;
        m->c->remembered[m->n_remembered++] = m->state;
        return true;
    case 0x0b: /* restore_state */
        if (m->n_remembered == 0)
            return false;
        m->state = m->c->remembered[--m->n_remembered];
        return true;
    case 0x2e: /* GNU_args_size */
        reader_uleb(r);
        return true;
    default:
        return false;
    }
}

/* Returns 0, -EBADMSG or -ENOMEM. */
static int run(struct machine *m, const u8 *program, size_t size) {
    struct reader r = reader_of(program, size);
    while (reader_left(&r) && !r.failed && !m->error && m->at < m->end) {
        u8 op = reader_u8(&r), low = op & 0x3f;
        if (op >> 6 == 1)
            advance(m, low);
        else if (op >> 6 == 2)
            set(m, low, CFI_OFFSET, scaled(m, reader_uleb(&r)));
        else if (op >> 6 == 3)
            *reg(m, low) = m->c->initial.registers[low < WALK_REGISTERS ? low : 0];
        else if (!step_cfa(m, &r, op) && !step_register(m, &r, op) && !step_other(m, &r, op))
            return -EBADMSG;
    }
    return m->error ? m->error : r.failed ? -EBADMSG : 0;
}

/* Makes c->initial the state that the functions of a CIE begin with. 0, -EBADMSG or -ENOMEM. */
static int enter_cie(struct compiler *c, const struct cie *cie) {
    if (c->entered == cie)
        return c->entered_rc;
    struct machine m = {.c = c, .cie = cie, .end = UINT64_MAX};
    c->initial = (struct cfi_state){0};
    c->entered_rc = run(&m, cie->program, cie->program_size);
    c->initial = m.state;
    c->entered = cie;
    return c->entered_rc;
}

/* Where something is not readable, what holds from there on is not known: the row says so, for the
 * function before may end just here. */
static int give_up(struct compiler *c, u64 at) {
    return cfi_add_row(c->out, at, 0) < 0 ? -ENOMEM : -EBADMSG;
}

static int compile_fde(struct compiler *c, const struct fde *f) {
    const struct cie *cie = &c->cies[f->cie];
    int rc = enter_cie(c, cie);
    if (rc < 0)
        return rc == -EBADMSG ? give_up(c, f->start) : rc;
    struct machine m = {
        .c = c, .cie = cie, .state = c->initial, .at = f->start, .end = f->start + f->size, .emits = true};
    rc = run(&m, (const u8 *)c->section->data + f->program, f->program_size);
    if (rc == -EBADMSG)
        return give_up(c, MIN(m.at, m.end)); /* it may have gone beyond its end */
    if (m.at < m.end)
        emit(&m);
    return rc < 0 ? rc : m.error;
}

/* Rows of all functions in address order; between functions that do not touch there is no rule. */
static int compile_all(struct compiler *c) {
    u64 end = 0;
    if (sort_by_key(c->fdes, c->n_fdes, sizeof(*c->fdes)) < 0)
        return -ENOMEM;
    for (size_t i = 0; i < c->n_fdes; i++) {
        const struct fde *f = &c->fdes[i];
        if (f->start < end) { /* overlaps the one before */
            c->out->statistics.broken++;
            continue;
        }
        if (end && f->start > end && cfi_add_row(c->out, end, 0) < 0)
            return -ENOMEM;
        int rc = compile_fde(c, f);
        if (rc == -ENOMEM)
            return rc;
        if (rc < 0)
            c->out->statistics.broken++;
        c->out->statistics.functions++;
        end = f->start + f->size;
    }
    return end ? cfi_add_row(c->out, end, 0) : 0;
}

static void compiler_free(struct compiler *c) {
    free(c->cies);
    u64_map_free(&c->cie_index);
    free(c->fdes);
}

int cfi_compile_some(const struct cfi_section *section, const u64 *offsets, size_t n, struct cfi_rows *ret) {
    _cleanup_(compiler_free) struct compiler c = {.section = section, .out = ret};
    struct unwind_rule none = {0};
    cfi_rule(ret, &none); /* rule 0 */
    int rc = read_some_entries(&c, offsets, n);
    return rc < 0 ? rc : compile_all(&c);
}

int cfi_compile(const struct cfi_section *section, struct cfi_rows *ret, struct err *err) {
    _cleanup_(compiler_free) struct compiler c = {.section = section, .out = ret};
    struct unwind_rule none = {0};
    cfi_rule(ret, &none); /* rule 0 */
    int rc = read_entries(&c);
    if (rc == 0)
        rc = compile_all(&c);
    if (rc == 0 && c.n_fdes == 0)
        rc = -EBADMSG;
    if (rc == -ENOMEM)
        return err_nomem(err);
    return rc < 0 ? err_set(err, rc, NULL, "The call-frame information is not readable") : 0;
}
