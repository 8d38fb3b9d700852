/* Finds the code of the evaluation loop, _PyEval_EvalFrameDefault(). Its symbol covers a part only: the
 * compiler moves what it takes for cold elsewhere, and with profile-guided builds that is most of it. The
 * moved part has a symbol (NAME.cold) in unstripped files only, but always an entry of its own in
 * .eh_frame_hdr; so it is the function that the loop jumps into, not to the start of, and that jumps back.
 *
 * From 3.14 on the loop may be none: one function per opcode, each jumps to the next (--with-tail-call-interp).
 * _PyEval_EvalFrameDefault() then only calls the first, and its frame stays below whichever is at work. These functions
 * are known by their table: a pointer for every opcode, each to where a function starts. */
#include <string.h>

#include "base/bisect.h"
#include "lang/python/python_process.h"

enum {
    MAX_LOOP_BYTES = 1 << 20,
    MIN_JUMPS = 2, /* into the moved part, and back; code bytes that look like a jump are rare there */
    OPCODES = 256,
    MAX_STARTING_BYTES = 8 << 10, /* of a function that only begins */
};

/* The functions of a file by .eh_frame_hdr: sorted pairs of (start, entry), s32 relative to the section. */
struct functions {
    const uint8_t *pairs;
    uint64_t section; /* address in the file */
    size_t count;
};

static bool open_functions(const struct python_object *o, struct functions *ret) {
    static const uint8_t usual[4] = {1, 0x1b, 0x03, 0x3b}; /* version; pcrel sdata4, udata4, datarel sdata4 */
    struct symbol_section s;
    uint32_t count;
    if (symbol_file_section(o->file, ".eh_frame_hdr", &s) < 0 || !s.data || s.size < 12 ||
        memcmp(s.data, usual, sizeof(usual)) != 0)
        return false;
    memcpy(&count, (const uint8_t *)s.data + 8, 4);
    *ret = (struct functions){(const uint8_t *)s.data + 12, s.address, MIN((size_t)count, (s.size - 12) / 8)};
    return ret->count > 0;
}

static uint64_t start_of(const struct functions *f, size_t i) {
    int32_t relative;
    memcpy(&relative, f->pairs + i * 8, 4);
    return f->section + (uint64_t)(int64_t)relative;
}

/* The function that covers an address of the file; it is taken to end where the next one starts. */
static bool covering(const struct functions *f, uint64_t address, struct python_range *ret) {
    size_t low = bisect(i, f->count, start_of(f, i) <= address);
    if (low == 0 || low == f->count)
        return false;
    *ret = (struct python_range){start_of(f, low - 1), start_of(f, low)};
    return ret->end > ret->start && ret->end - ret->start <= MAX_LOOP_BYTES;
}

/* ---- jumps ---- */

/* Calls each(target) for whatever looks like a jump with a 32-bit displacement: e9, 0f 80-8f. */
typedef void jump_fn(void *ctx, uint64_t target);
static void each_jump(const uint8_t *code, const struct python_range *at, jump_fn *each, void *ctx) {
    size_t size = at->end - at->start;
    for (size_t i = 0; i + 6 <= size; i++) {
        bool near_jump = code[i] == 0xe9, conditional = code[i] == 0x0f && (code[i + 1] & 0xf0) == 0x80;
        size_t operand = i + (near_jump ? 1 : 2);
        int32_t displacement;
        if (!near_jump && !conditional)
            continue;
        memcpy(&displacement, code + operand, 4);
        each(ctx, at->start + operand + 4 + (uint64_t)(int64_t)displacement);
    }
}

/* Functions that are jumped into, with how often. */
struct tally {
    const struct functions *functions;
    struct python_range loop;
    struct {
        struct python_range range;
        unsigned jumps;
    } all[32];
    size_t count;
};

static void count_jump(void *ctx, uint64_t to) {
    struct tally *t = ctx;
    struct python_range r;
    if ((to >= t->loop.start && to < t->loop.end) || !covering(t->functions, to, &r) || r.start == to)
        return;
    for (size_t i = 0; i < t->count; i++)
        if (t->all[i].range.start == r.start) {
            t->all[i].jumps++;
            return;
        }
    if (t->count < ARRAY_SIZE(t->all)) {
        t->all[t->count].range = r;
        t->all[t->count++].jumps = 1;
    }
}

struct back {
    struct python_range loop;
    unsigned jumps;
};

static void count_back(void *ctx, uint64_t to) {
    struct back *b = ctx;
    b->jumps += to > b->loop.start && to < b->loop.end;
}

static uint8_t *read_code(const struct python_object *o, struct lang_process *lp, const struct python_range *r) {
    uint8_t *code = mem_alloc(r->end - r->start);
    if (code && target_read(lp->target, r->start + o->bias, code, r->end - r->start) == 0)
        return code;
    free(code);
    return NULL;
}

static void add_loop(const struct python_object *o, struct lang_process *lp, const struct python_range *r) {
    for (unsigned i = 0; i < PYTHON_MAX_LOOPS; i++)
        if (!lp->config.loop[i].end) {
            lp->config.loop[i] = (struct python_range){r->start + o->bias, r->end + o->bias};
            return;
        }
}

static void add_if_back(const struct python_object *o, struct lang_process *lp, const struct python_range *part,
                        const struct python_range *loop) {
    struct back back = {.loop = *loop};
    _cleanup_(freep) uint8_t *code = read_code(o, lp, part);
    if (code)
        each_jump(code, part, count_back, &back);
    if (back.jumps >= MIN_JUMPS)
        add_loop(o, lp, part);
}

/* ---- tail calls ---- */

static bool starts_function(const struct functions *f, uint64_t address) {
    struct python_range r;
    return covering(f, address, &r) && r.start == address;
}

static bool is_opcode_table(const struct python_object *o, struct lang_process *lp, const struct functions *f,
                            uint64_t at) {
    uint64_t to[OPCODES];
    if (target_read(lp->target, at + o->bias, to, sizeof(to[0])) < 0 || !starts_function(f, to[0] - o->bias) ||
        target_read(lp->target, at + o->bias, to, sizeof(to)) < 0)
        return false;
    for (size_t i = 0; i < OPCODES; i++)
        if (!starts_function(f, to[i] - o->bias))
            return false;
    return true;
}

/* Where a table may be that the instruction at code[i] uses: lea table(%rip), or jmp *table(,%reg,8) in programs that
 * are linked to a fixed address. 0 when it is neither. At least 7 bytes must be there. */
static uint64_t table_used(const uint8_t *code, size_t i, uint64_t address) {
    int32_t displacement;
    memcpy(&displacement, code + i + 3, 4);
    if ((code[i] & 0xfb) == 0x48 && code[i + 1] == 0x8d && (code[i + 2] & 0xc7) == 0x05)
        return address + i + 7 + (uint64_t)(int64_t)displacement;
    if (code[i] == 0xff && code[i + 1] == 0x24 && (code[i + 2] & 0xc7) == 0xc5)
        return (uint64_t)(int64_t)displacement;
    return 0;
}

static bool uses_opcode_table(const struct python_object *o, struct lang_process *lp, const struct functions *f,
                              const struct python_range *r) {
    _cleanup_(freep) uint8_t *code = read_code(o, lp, r);
    bool found = false;
    for (size_t i = 0; code && !found && i + 7 <= r->end - r->start; i++) {
        uint64_t table = table_used(code, i, r->start);
        found = table && is_opcode_table(o, lp, f, table);
    }
    return found;
}

/* Whether _PyEval_EvalFrameDefault() hands over to functions that call each other at their ends: it, or what it calls,
 * looks the first one up. */
static bool calls_opcodes(const struct python_object *o, struct lang_process *lp, const struct functions *f,
                          const struct python_range *loop, const uint8_t *code) {
    if (loop->end - loop->start > MAX_STARTING_BYTES)
        return false;
    if (uses_opcode_table(o, lp, f, loop))
        return true;
    for (size_t i = 0; i + 5 <= loop->end - loop->start; i++) {
        struct python_range callee;
        int32_t displacement;
        memcpy(&displacement, code + i + 1, 4);
        uint64_t to = loop->start + i + 5 + (uint64_t)(int64_t)displacement;
        if (code[i] == 0xe8 && covering(f, to, &callee) && callee.start == to &&
            callee.end - callee.start <= MAX_STARTING_BYTES && uses_opcode_table(o, lp, f, &callee))
            return true;
    }
    return false;
}

void python_find_loops(const struct python_object *o, struct lang_process *lp) {
    struct symbol_range symbol;
    if (!o->file || symbol_file_find(o->file, "_PyEval_EvalFrameDefault", &symbol) < 0 || symbol.size == 0 ||
        symbol.size > MAX_LOOP_BYTES)
        return;
    struct python_range loop = {symbol.address, symbol.address + symbol.size};
    struct functions functions;
    lp->loop_bias = o->bias;
    lp->generates_code = python_symbol(o, "_Py_GetExecutor") != 0;
    add_loop(o, lp, &loop);
    _cleanup_(freep) uint8_t *code = read_code(o, lp, &loop);
    if (!code || !open_functions(o, &functions))
        return;
    lp->tail_calls = calls_opcodes(o, lp, &functions, &loop, code);
    struct tally *tally = mem_zalloc(1, sizeof(*tally));
    if (!tally)
        return;
    tally->functions = &functions;
    tally->loop = loop;
    each_jump(code, &loop, count_jump, tally);
    for (size_t i = 0; i < tally->count; i++)
        if (tally->all[i].jumps >= MIN_JUMPS)
            add_if_back(o, lp, &tally->all[i].range, &loop);
    free(tally);
}
