/* The walk over frames that a test lays out in memory of its own: as 3.12 has them. */
#include "../unit.h"

#include <errno.h>

#include "lang/python/python_walk.h"

enum { FRAMES = 100, FRAME_WORDS = 10, SHIM_OWNER = 3 };

/* What a thread's frames hang on. A frame lies right behind its caller. */
static struct {
    u64 slot, interpreters;
    u64 interpreter[2]; /* the next one, its threads */
    u64 thread[6]; /* the next one, its id, its newest frame, its newest _PyCFrame, and the one that ends their chain */
    u64 code[PYTHON_CODE_BYTES / 8]; /* its type, its first line */
    u64 frames[FRAMES][FRAME_WORDS];
    u64 stack[64]; /* the native one */
} memory;
enum { CODE, PREVIOUS, INSTRUCTION, OWNER };

static u64 address_of(const void *what) {
    return (u64)(uintptr_t)what;
}

static int read_memory(struct walk_host *host, u64 address, void *dst, size_t size) {
    (void)host;
    if (address < address_of(&memory) || address + size > address_of(&memory + 1))
        return -EFAULT;
    memcpy(dst, (const u8 *)&memory + (address - address_of(&memory)), size);
    return 0;
}

/* `n` frames, of which the oldest is a shim. */
static struct python_config lay_out(unsigned n) {
    memory = (typeof(memory)){.code = {address_of(&memory.code), 7}};
    memory.slot = address_of(memory.thread);
    memory.interpreters = address_of(memory.interpreter);
    memory.thread[1] = address_of(&memory.slot);
    memory.thread[2] = address_of(memory.frames[n - 1]);
    for (unsigned i = 0; i < n; i++) {
        memory.frames[i][CODE] = address_of(memory.code);
        memory.frames[i][PREVIOUS] = i ? address_of(memory.frames[i - 1]) : 0;
        memory.frames[i][INSTRUCTION] = address_of(memory.code) + 16 + 2 * i;
    }
    memory.frames[0][OWNER] = SHIM_OWNER;
    return (struct python_config){.interpreters = address_of(&memory.interpreters),
                                  .code_type = address_of(&memory.code),
                                  .slot = {.count = 1},
                                  .loops = PYTHON_LOOPS_SHIM,
                                  .interpreter_threads = 8,
                                  .thread_id = 8,
                                  .thread_frame = 16,
                                  .frame_bytes = 32,
                                  .frame_code = 8 * CODE,
                                  .frame_previous = 8 * PREVIOUS,
                                  .frame_instruction = 8 * INSTRUCTION,
                                  .frame_mark = 8 * OWNER,
                                  .code_first_line = 8,
                                  .code_instructions = 16};
}

static struct walk_stack stack;

/* Walks a thread that was interrupted at `pc`, behind the streams that there are. */
static const struct walk_stream *walk_at(const struct python_config *config, u64 pc) {
    static struct walk_host host = {.read = read_memory};
    static struct walk_state state;
    state = (struct walk_state){.host = &host, .leaf = {.tls_base = address_of(&memory.slot)}};
    state.leaf.value[WALK_REGISTERS - 1] = pc;
    unsigned before = stack.n_streams;
    struct walk w = {.stack = &stack, .state = &state};
    python_walk(&w, config);
    assert_int_equal(stack.n_streams, before + 1);
    return &stack.streams[before];
}

static const struct walk_stream *walk(const struct python_config *config) {
    stack.n_streams = stack.n_frames = 0;
    return walk_at(config, 0);
}

enum { LOOP = 0x1000, LOOP_BYTES = 0x800, OTHER = 0x5000, RECORD_BELOW = 8 };

/* Native frame i reaches up to stack[end], and there may be a _PyCFrame in it, where the loop's have theirs. */
static void lay_native(unsigned i, u64 pc, unsigned end, u64 newest, u64 previous) {
    stack.frames[i] = raw_frame(RAW_NATIVE, pc, address_of(&memory.stack[end]));
    memory.stack[end - RECORD_BELOW] = newest;
    memory.stack[end - RECORD_BELOW + 1] = previous;
    stack.streams[0] = (struct walk_stream){.total = i + 1, .leaf_capacity = 64, .root_capacity = 64};
    stack.n_frames = i + 1;
}

/* A thread that has just begun a loop and not filled its _PyCFrame in: 3.11 and 3.12. */
static const struct walk_stream *walk_from_loop(struct python_config *config, u64 newest) {
    config->loop[0].start = LOOP;
    config->loop[0].end = config->loop[0].start + LOOP_BYTES;
    config->thread_through_cframe = 1;
    config->thread_cframe = 24;
    config->thread_root_cframe = 32;
    config->cframe_previous = 8;
    memory.thread[3] = newest;
    stack.n_streams = 1;
    return walk_at(config, LOOP + 20);
}

static void frames_of_every_depth_are_found_in_order(void **state) {
    (void)state;
    for (unsigned n = 1; n <= FRAMES; n++) {
        const struct python_config config = lay_out(n);
        const struct walk_stream *s = walk(&config);
        assert_int_equal(s->end, WALK_END_ROOT);
        assert_int_equal(s->total, n);
        for (unsigned i = 0; i + 1 < n; i++) {
            assert_int_equal(raw_address(&stack.frames[i]), address_of(memory.code));
            assert_int_equal(stack.frames[i].word[1], (u64)python_stamp(memory.code, 8) << 32 | (n - 1 - i));
        }
        assert_int_equal(raw_address(&stack.frames[n - 1]), address_of(memory.frames[0]));
    }
}

static void a_circle_of_frames_is_left(void **state) {
    (void)state;
    for (unsigned n = 1; n <= FRAMES; n++)
        for (unsigned back = 0; back < n; back++) {
            const struct python_config config = lay_out(n);
            memory.frames[0][OWNER] = 0;
            memory.frames[0][PREVIOUS] = address_of(memory.frames[back]);
            const struct walk_stream *s = walk(&config);
            assert_int_equal(s->end, WALK_END_CORRUPT);
            assert_true(s->total >= n && s->total <= 8 * FRAMES);
        }
}

/* In a large frame of another function lies what a loop left there that has returned. */
static void only_a_loop_has_a_loop_s_record(void **state) {
    (void)state;
    enum { N = 5, LEFT = 50 };
    struct python_config config = lay_out(N);
    u64 root = address_of(&memory.thread[4]), outer = address_of(&memory.stack[56 - RECORD_BELOW]);
    memory.frames[LEFT][CODE] = address_of(memory.code);
    lay_native(0, LOOP + 20, 16, address_of(memory.frames[LEFT]), 0);
    lay_native(1, OTHER, 40, address_of(memory.frames[LEFT]), outer);
    lay_native(2, LOOP + 500, 56, address_of(memory.frames[N - 1]), root);
    const struct walk_stream *s = walk_from_loop(&config, address_of(&memory.stack[16 - RECORD_BELOW]));
    assert_int_equal(s->end, WALK_END_ROOT);
    assert_int_equal(s->total, N);
    assert_int_equal(stack.frames[s->first].word[1], (u64)python_stamp(memory.code, 8) << 32 | (N - 1));
}

/* The loop before the newest one is looked for, in vain: that changes nothing about what is wrong. */
static void a_circle_in_the_only_loop_is_said_to_be_one(void **state) {
    (void)state;
    struct python_config config = lay_out(2);
    memory.frames[0][OWNER] = 0;
    memory.frames[0][PREVIOUS] = address_of(memory.frames[1]);
    lay_native(0, LOOP + 20, 16, address_of(memory.frames[1]), address_of(&memory.thread[4]));
    const struct walk_stream *s = walk_from_loop(&config, address_of(&memory.stack[16 - RECORD_BELOW]));
    assert_int_equal(s->end, WALK_END_CORRUPT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_of_every_depth_are_found_in_order),
        cmocka_unit_test(a_circle_of_frames_is_left),
        cmocka_unit_test(only_a_loop_has_a_loop_s_record),
        cmocka_unit_test(a_circle_in_the_only_loop_is_said_to_be_one),
    };
    return RUN_TESTS(tests);
}
