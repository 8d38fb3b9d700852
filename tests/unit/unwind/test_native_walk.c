/* The native walk: through code that was generated, which has no tables and uses the frame pointer for anything; and with
 * rules that earlier walks remembered. */
#include "../unit.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "unwind/tables.h"
#include "unwind/walk_native.h"

enum { GENERATED = 0x10000, FILE_CODE = 0x20000, STACK = 0x70000, SIZE = 0x1000 };

/* The memory of a process: code that was generated, code of a file that has no tables, and a stack. */
struct memory {
    struct walk_host host; /* must be first */
    u8 generated[SIZE], file[SIZE], stack[SIZE];
};

static u8 *find_bytes(struct memory *m, u64 address, size_t size) {
    const struct {
        u64 start;
        u8 *bytes;
    } all[] = {{GENERATED, m->generated}, {FILE_CODE, m->file}, {STACK, m->stack}};
    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        if (address >= all[i].start && address + size <= all[i].start + SIZE)
            return all[i].bytes + (address - all[i].start);
    return NULL;
}

static int read_memory(struct walk_host *host, u64 address, void *dst, size_t size) {
    const u8 *from = find_bytes((struct memory *)host, address, size);
    if (!from)
        return -EFAULT;
    memcpy(dst, from, size);
    return 0;
}

static void put(struct memory *m, u64 address, const void *bytes, size_t size) {
    memcpy(find_bytes(m, address, size), bytes, size);
}

static void put_word(struct memory *m, u64 address, u64 word) {
    put(m, address, &word, 8);
}

enum {
    STUB_RETURN = GENERATED + 0x17,
    ENTERED = GENERATED + 0x100,
    CALLER = FILE_CODE + 0x50, /* return addresses */
    CALLERS_CALLER = FILE_CODE + 0x150,
};

static void put_code(struct memory *m, const u8 *stub, size_t size) {
    static const u8 call[] = {0xe8, 0, 0, 0, 0};
    put(m, STUB_RETURN - 5, call, 5);
    put(m, STUB_RETURN, stub, size);
    put(m, CALLER - 5, call, 5);
    put(m, CALLERS_CALLER - 5, call, 5);
}

/* Walks from ENTERED, and says what came out: the addresses, leaf first, and how it ended. */
static u8 walked(struct memory *m, u64 sp, u64 fp, u64 *ret_pcs, u32 *ret_count) {
    const struct table_mapping list[] = {
        {.start = GENERATED, .end = GENERATED + SIZE, .flags = TABLE_MAPPING_ANONYMOUS},
        {.start = FILE_CODE, .end = FILE_CODE + SIZE, .flags = TABLE_MAPPING_NO_TABLE},
    };
    struct unwind_rule *rules = mem_zalloc(TABLE_MAX_RULES, sizeof(*rules));
    struct walk_stack *stack = mem_zalloc(1, sizeof(*stack));
    struct walk_state *state = mem_zalloc(1, sizeof(*state));
    struct tables *t;
    u32 at;
    assert_true(rules && stack && state);
    assert_int_equal(tables_new(&(struct tables_memory){.rules = rules}, &t), 0);
    assert_int_equal(tables_publish_mappings(t, list, 2, &at), 0);
    m->host.read = read_memory;
    state->leaf.value[7] = sp;
    state->leaf.value[6] = fp;
    state->leaf.value[16] = ENTERED;
    state->host = &m->host;
    struct walk w = {.stack = stack, .state = state};
    u8 end = (u8)walk_native(&w, t, at, 2, true);
    *ret_count = stack->streams[0].total;
    for (u32 i = 0; i < *ret_count && i < 8; i++)
        ret_pcs[i] = raw_address(&stack->frames[i]);
    tables_free(t);
    free(state);
    free(stack);
    free(rules);
    return end;
}

/* add $8,%rsp; pop %rbx, %r12, %r13, %r14, %r15, %rbp; ret: behind three other bytes */
static const u8 saves_frame_pointer[] = {0x90, 0x90, 0x90, 0x48, 0x83, 0xc4, 0x08, 0x5b, 0x41,
                                         0x5c, 0x41, 0x5d, 0x41, 0x5e, 0x41, 0x5f, 0x5d, 0xc3};
static const u8 leaves_frame_pointer[] = {0x5b, 0x41, 0x5c, 0x41, 0x5d, 0x41, 0x5e, 0x41, 0x5f, 0xc3};

/* The caller's frame, by frame pointer, and its caller's, which is the outermost. */
static void put_callers(struct memory *m, u64 fp) {
    put_word(m, fp, 0);
    put_word(m, fp + 8, CALLERS_CALLER);
}

static void the_stub_that_entered_generated_code_says_who_called_it(void **state) {
    (void)state;
    struct memory m = {0};
    u64 pcs[8], sp = STACK + 0x100, fp = STACK + 0x400;
    u32 n;
    put_code(&m, leaves_frame_pointer, sizeof(leaves_frame_pointer));
    put_callers(&m, fp);
    put_word(&m, sp, 77);     /* of the entered code */
    put_word(&m, sp + 8, fp); /* which has saved the frame pointer, and uses it */
    put_word(&m, sp + 16, STUB_RETURN);
    put_word(&m, sp + 24 + 40, CALLER);
    assert_int_equal(walked(&m, sp, 12345, pcs, &n), WALK_END_ROOT);
    assert_int_equal(n, 3);
    assert_int_equal(pcs[0], ENTERED);
    assert_int_equal(pcs[1], CALLER);
    assert_int_equal(pcs[2], CALLERS_CALLER);
    assert_int_equal(walked(&m, sp, 0, pcs, &n), WALK_END_ROOT); /* 0 is a value as any other */
    assert_int_equal(n, 3);
}

static void a_stub_restores_the_frame_pointer_itself(void **state) {
    (void)state;
    struct memory m = {0};
    u64 pcs[8], sp = STACK + 0x100, fp = STACK + 0x400;
    u32 n;
    put_code(&m, saves_frame_pointer, sizeof(saves_frame_pointer));
    put_callers(&m, fp);
    put_word(&m, sp, STUB_RETURN); /* the entered code has put nothing on the stack: the stub is a frame */
    put_word(&m, sp + 8 + 8 + 40, fp);
    put_word(&m, sp + 8 + 8 + 48, CALLER);
    assert_int_equal(walked(&m, sp, 12345, pcs, &n), WALK_END_ROOT);
    assert_int_equal(n, 4);
    assert_int_equal(pcs[1], STUB_RETURN);
    assert_int_equal(pcs[2], CALLER);
    assert_int_equal(pcs[3], CALLERS_CALLER);
}

static void without_a_stub_the_walk_ends_and_says_so(void **state) {
    (void)state;
    struct memory m = {0};
    u64 pcs[8], sp = STACK + 0x100;
    u32 n;
    put_code(&m, leaves_frame_pointer, sizeof(leaves_frame_pointer));
    put_word(&m, sp + 8, CALLER);            /* no stub's */
    put_word(&m, sp + 16, STUB_RETURN);      /* would return to no code */
    put_word(&m, sp + 32, GENERATED + 0x80); /* follows no call */
    assert_int_equal(walked(&m, sp, 12345, pcs, &n), WALK_END_NO_RULE);
    assert_int_equal(n, 1);
    put_word(&m, sp + 24 + 40, CALLER);
    m.generated[STUB_RETURN - GENERATED + 9] = 0x90; /* does not return */
    assert_int_equal(walked(&m, sp, 12345, pcs, &n), WALK_END_NO_RULE);
    assert_int_equal(walked(&m, STACK + SIZE - 16, 12345, pcs, &n), WALK_END_NO_RULE); /* the stack ends */
}

/* ---- callers whose rules are remembered ---- */

enum { FUNCTIONS = SIZE / 64, DEEPEST = 40 };

/* Function i has code of 64 bytes and a frame of 16 to 72; every third keeps its caller's frame pointer right below the
 * return address, and has its own point there. */
static bool uses_frame_pointer(u32 function) {
    return function % 3 == 0;
}
static u64 frame_size(u32 function) {
    return 16 + function % 8 * 8;
}

static void compile_functions(struct cfi_rows *rows) {
    for (u32 i = 0; i < FUNCTIONS; i++) {
        struct unwind_rule rule = {
            .kind = RULE_CFA_REG, .cfa_reg = 7, .cfa_offset = (s32)frame_size(i), .ra_offset = -8};
        for (u32 r = 0; r < RULE_SAVED; r++)
            rule.saved[r] = RULE_NOT_SAVED;
        if (uses_frame_pointer(i)) {
            rule.cfa_reg = 6;
            rule.cfa_offset = 16;
            rule.saved[1] = -2;
        }
        if (i == 0)
            rule.kind = RULE_ROOT;
        assert_int_equal(cfi_add_row(rows, i * 64, cfi_rule(rows, &rule)), 0);
    }
}

/* A thread's calls, from the interrupted function out to function 0, and the stack that they leave. */
static u32 make_calls(struct memory *m, struct walk_state *state, u64 *ret_pcs) {
    u32 function[DEEPEST], n = 2 + (u32)rand() % (DEEPEST - 2);
    u64 sp = STACK + SIZE - 512, fp = 0;
    for (u32 i = n; i-- > 0;) { /* from the root */
        function[i] = i == n - 1 ? 0 : 1 + (u32)rand() % (FUNCTIONS - 1);
        ret_pcs[i] = FILE_CODE + function[i] * 64 + 1 + (u64)rand() % 62;
        u64 cfa = sp;
        if (i < n - 1)
            put_word(m, cfa - 8, ret_pcs[i + 1]);
        if (uses_frame_pointer(function[i])) {
            put_word(m, cfa - 16, fp);
            fp = cfa - 16;
        }
        sp = cfa - frame_size(function[i]) - (uses_frame_pointer(function[i]) ? (u64)rand() % 8 * 8 : 0);
    }
    state->leaf.value[7] = sp;
    state->leaf.value[6] = fp;
    state->leaf.value[16] = ret_pcs[0];
    return n;
}

/* One state serves many walks, as in the kernel. */
static void what_is_remembered_changes_no_stack(void **unused) {
    (void)unused;
    struct memory m = {0};
    _cleanup_(cfi_rows_free) struct cfi_rows rows = {0};
    struct unwind_rule *rules = mem_zalloc(TABLE_MAX_RULES, sizeof(*rules));
    struct walk_stack *stack = mem_zalloc(1, sizeof(*stack));
    struct walk_state *state = mem_zalloc(1, sizeof(*state));
    struct tables *t;
    struct tables_file file;
    u32 at;
    assert_true(rules && stack && state);
    m.host.read = read_memory;
    compile_functions(&rows);
    assert_int_equal(tables_new(&(struct tables_memory){.rules = rules}, &t), 0);
    assert_int_equal(tables_add_file(t, &rows, &file), 0);
    const struct table_mapping mapping = {.start = FILE_CODE,
                                          .end = FILE_CODE + SIZE,
                                          .bias = FILE_CODE,
                                          .pages_at = tables_file_pages_at(&file, 0),
                                          .flags = TABLE_MAPPING_LOADED};
    assert_int_equal(tables_publish_mappings(t, &mapping, 1, &at), 0);
    for (unsigned k = 0; k < 20000; k++) {
        u64 pcs[DEEPEST];
        u32 n = make_calls(&m, state, pcs);
        state->host = &m.host;
        struct walk w = {.stack = stack, .state = state};
        state->epoch = 1 + k / 1000;
        stack->n_streams = stack->n_frames = 0;
        assert_int_equal(walk_native(&w, t, at, 1, true), WALK_END_ROOT);
        assert_int_equal(stack->streams[0].total, n);
        for (u32 i = 0; i < n; i++)
            assert_int_equal(raw_address(&stack->frames[i]), pcs[i]);
    }
    tables_free(t);
    free(state);
    free(stack);
    free(rules);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_stub_that_entered_generated_code_says_who_called_it),
        cmocka_unit_test(a_stub_restores_the_frame_pointer_itself),
        cmocka_unit_test(without_a_stub_the_walk_ends_and_says_so),
        cmocka_unit_test(what_is_remembered_changes_no_stack),
    };
    return RUN_TESTS(tests);
}
