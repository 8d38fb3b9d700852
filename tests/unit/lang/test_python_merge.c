#include "../unit.h"

#include "lang/python/python_process.h"

#define NATIVE(pc, cfa)                                                                                                \
    {                                                                                                                  \
        { (u64) RAW_NATIVE << 56 | (pc), cfa }                                                                         \
    }
#define PYTHON(code)                                                                                                   \
    {                                                                                                                  \
        { (u64) RAW_LANG(LANG_python, PYTHON_RAW_FRAME) << 56 | (code), 1 }                                            \
    }
#define LOOP(at)                                                                                                       \
    {                                                                                                                  \
        { (u64) RAW_LANG(LANG_python, PYTHON_RAW_LOOP) << 56 | (at), 0 }                                               \
    }

/* The merged stack as text, leaf first: n = native, L = native and internal, digits = Python entries, | = a root. */
static const char *merged(const struct lang_process *lp, const struct lang_streams *in) {
    static char text[64];
    struct lang_merged out[64];
    u32 n = python_merge(lp, in, out);
    for (u32 i = 0; i < n; i++)
        text[i] = (char)(out[i].lang ? '0' + (int)out[i].index : out[i].internal ? 'L' : 'n');
    if (n && out[n - 1].root)
        text[n++] = '|';
    text[n] = '\0';
    return text;
}

static const struct raw_frame native[] = {NATIVE(10, 0x1100), NATIVE(20, 0x1200), NATIVE(30, 0x1300),
                                          NATIVE(20, 0x1400), NATIVE(50, 0)};

static void runs_stand_leafward_of_the_frame_that_holds_their_record(void **state) {
    (void)state;
    const struct lang_process lp = {.config = {.loops = PYTHON_LOOPS_SHIM}};
    const struct raw_frame python[] = {PYTHON(1), PYTHON(2), LOOP(0x1180), PYTHON(3), LOOP(0x1380)};
    struct lang_streams in = {.native = native, .n_native = 5, .runtime = python, .n_runtime = 5, .leaf_sp = 0x1000};
    assert_string_equal(merged(&lp, &in), "n01Ln3Ln");
}

static void what_a_loop_calls_is_an_opcode_where_each_has_a_function(void **state) {
    (void)state;
    struct lang_process lp = {
        .config = {.loops = PYTHON_LOOPS_SHIM}, .code = {{5, 35}}, .n_code = 1, .tail_calls = true};
    const struct raw_frame python[] = {PYTHON(1), LOOP(0x1180), PYTHON(3), LOOP(0x1380)};
    struct lang_streams in = {.native = native, .n_native = 5, .runtime = python, .n_runtime = 4, .leaf_sp = 0x1000};
    assert_string_equal(merged(&lp, &in), "L0LL2Ln");
    lp.code[0].end = 25; /* frame 30 is of another file: not an opcode */
    assert_string_equal(merged(&lp, &in), "L0Ln2Ln");
    lp.tail_calls = false;
    assert_string_equal(merged(&lp, &in), "n0Ln2Ln");
    in.n_native = 1; /* the loop itself was not reached */
    assert_string_equal(merged(&lp, &in), "n02");
}

static void code_that_the_interpreter_generated_is_folded(void **state) {
    (void)state;
    struct lang_process lp = {
        .config = {.loops = PYTHON_LOOPS_SHIM}, .code = {{45, 65}}, .n_code = 1, .generates_code = true};
    const struct raw_frame generated[] = {NATIVE(10, 0x1100), NATIVE(20, 0x1200 | RAW_APPROXIMATE),
                                          NATIVE(30, 0x1300 | RAW_APPROXIMATE), NATIVE(60, 0x1400), NATIVE(70, 0)};
    const struct raw_frame python[] = {PYTHON(1), LOOP(0x1380)};
    struct lang_streams in = {.native = generated, .n_native = 5, .runtime = python, .n_runtime = 2, .leaf_sp = 0x1000};
    assert_string_equal(merged(&lp, &in), "nLL0Ln");
    const struct raw_frame covering[] = {PYTHON(1), LOOP(0x1280)}; /* frame 30 stands for the loop, too */
    in.runtime = covering;
    assert_string_equal(merged(&lp, &in), "nL0Lnn");
    const struct raw_frame entered[] = {NATIVE(10, 0x1100), NATIVE(20, 0x1200 | RAW_APPROXIMATE), NATIVE(50, 0x1300),
                                        NATIVE(60, 0x1400), NATIVE(70, 0)};
    in.native = entered;
    in.runtime = python;
    assert_string_equal(merged(&lp, &in), "nLL0Ln");
    lp.generates_code = false; /* then it is another compiler's */
    assert_string_equal(merged(&lp, &in), "nnn0Ln");
}

static void a_truncated_native_stack_keeps_every_python_frame(void **state) {
    (void)state;
    const struct lang_process lp = {.config = {.loops = PYTHON_LOOPS_SHIM}};
    const struct raw_frame python[] = {PYTHON(1), LOOP(0x1180), PYTHON(3), LOOP(0x1380)};
    struct lang_streams in = {.native = native, .n_native = 2, .runtime = python, .n_runtime = 4, .leaf_sp = 0x1000};
    assert_string_equal(merged(&lp, &in), "n0L2");
    in.n_native = 0;
    assert_string_equal(merged(&lp, &in), "02");
}

static void a_stack_ends_where_its_greenlet_begins(void **state) {
    (void)state;
    struct lang_process lp = {.config = {.loops = PYTHON_LOOPS_SHIM}};
    const struct raw_frame python[] = {PYTHON(1), PYTHON(2), LOOP(0x1180), LOOP(0x1280)};
    const bool switching[] = {false, false, true, false, false};
    struct lang_streams in = {
        .native = native, .n_native = 5, .runtime = python, .n_runtime = 3, .leaf_sp = 0x1000, .switching = switching};
    assert_string_equal(merged(&lp, &in), "n01Ln|");
    lp.config.loops = PYTHON_LOOPS_CFRAME_MARKED; /* the library has put in a record of its own */
    in.n_runtime = 4;
    assert_string_equal(merged(&lp, &in), "n01Ln|");
    const struct raw_frame before[] = {PYTHON(1), LOOP(0x1380)}; /* the library's code was called by Python */
    in.runtime = before;
    in.n_runtime = 2;
    assert_string_equal(merged(&lp, &in), "nnn0Ln");
    lp = (struct lang_process){.config = {.loops = PYTHON_LOOPS_FRAME, .loop = {{15, 25}}}};
    const struct raw_frame one[] = {PYTHON(1)}; /* the loop beyond belongs to another greenlet */
    in.runtime = one;
    in.n_runtime = 1;
    assert_string_equal(merged(&lp, &in), "n0Ln|");
}

static void what_started_python_is_folded_unless_the_program_is_its_own(void **state) {
    (void)state;
    struct lang_process lp = {
        .config = {.loops = PYTHON_LOOPS_SHIM}, .code = {{45, 60}}, .n_code = 1, .only_python = true};
    const struct raw_frame python[] = {PYTHON(1), LOOP(0x1180)};
    struct lang_streams in = {.native = native, .n_native = 5, .runtime = python, .n_runtime = 2, .leaf_sp = 0x1000};
    assert_string_equal(merged(&lp, &in), "n0LnnL");
    lp.only_python = false;
    assert_string_equal(merged(&lp, &in), "n0Lnnn");
}

static void a_loop_that_has_just_begun_gets_no_frames_of_another(void **state) {
    (void)state;
    const struct lang_process counted = {.config = {.loops = PYTHON_LOOPS_FRAME, .loop = {{16, 24}}}};
    const struct raw_frame one[] = {PYTHON(1)}, two[] = {PYTHON(1), PYTHON(2)};
    struct lang_streams in = {.native = native, .n_native = 5, .runtime = one, .n_runtime = 1, .leaf_sp = 0x1000};
    assert_string_equal(merged(&counted, &in), "nLn0Ln");
    in.runtime = two;
    in.n_runtime = 2;
    assert_string_equal(merged(&counted, &in), "n0Ln1Ln");

    const struct lang_process chains = {.config = {.loops = PYTHON_LOOPS_CFRAME_EACH}};
    const struct raw_frame begun[] = {PYTHON(1), LOOP(0x1180), LOOP(0x1380)};
    in.runtime = begun;
    in.n_runtime = 3;
    assert_string_equal(merged(&chains, &in), "nLn0Ln");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_stand_leafward_of_the_frame_that_holds_their_record),
        cmocka_unit_test(what_a_loop_calls_is_an_opcode_where_each_has_a_function),
        cmocka_unit_test(code_that_the_interpreter_generated_is_folded),
        cmocka_unit_test(a_truncated_native_stack_keeps_every_python_frame),
        cmocka_unit_test(a_stack_ends_where_its_greenlet_begins),
        cmocka_unit_test(what_started_python_is_folded_unless_the_program_is_its_own),
        cmocka_unit_test(a_loop_that_has_just_begun_gets_no_frames_of_another),
    };
    return RUN_TESTS(tests);
}
