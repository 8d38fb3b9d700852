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

#define STATE(mark)                                                                                                    \
    {                                                                                                                  \
        { (u64) RAW_LANG(LANG_python, PYTHON_RAW_STATE) << 56, mark }                                                  \
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
    struct raw_frame python[] = {PYTHON(1), PYTHON(2), LOOP(0x1180), PYTHON(3), LOOP(0x1380)};
    struct lang_streams in = {.native = native, .n_native = 5, .runtime = python, .n_runtime = 5, .leaf_sp = 0x1000};
    assert_string_equal(merged(&lp, &in), "n01Ln3Ln");
}

static void what_a_loop_calls_is_an_opcode_where_each_has_a_function(void **state) {
    (void)state;
    struct lang_process lp = {
        .config = {.loops = PYTHON_LOOPS_SHIM}, .code = {{5, 35}}, .n_code = 1, .tail_calls = true};
    struct raw_frame python[] = {PYTHON(1), LOOP(0x1180), PYTHON(3), LOOP(0x1380)};
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
    struct raw_frame python[] = {PYTHON(1), LOOP(0x1380)};
    struct lang_streams in = {.native = generated, .n_native = 5, .runtime = python, .n_runtime = 2, .leaf_sp = 0x1000};
    assert_string_equal(merged(&lp, &in), "nLL0Ln");
    struct raw_frame covering[] = {PYTHON(1), LOOP(0x1280)}; /* frame 30 stands for the loop, too */
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
    struct raw_frame python[] = {PYTHON(1), LOOP(0x1180), PYTHON(3), LOOP(0x1380)};
    struct lang_streams in = {.native = native, .n_native = 2, .runtime = python, .n_runtime = 4, .leaf_sp = 0x1000};
    assert_string_equal(merged(&lp, &in), "n0L2");
    in.n_native = 0;
    assert_string_equal(merged(&lp, &in), "02");
}

static void a_stack_ends_where_its_greenlet_begins(void **state) {
    (void)state;
    struct lang_process lp = {.config = {.loops = PYTHON_LOOPS_SHIM}};
    struct raw_frame python[] = {PYTHON(1), PYTHON(2), LOOP(0x1180), LOOP(0x1280)};
    const bool switching[] = {false, false, true, false, false};
    struct lang_streams in = {
        .native = native, .n_native = 5, .runtime = python, .n_runtime = 3, .leaf_sp = 0x1000, .switching = switching};
    assert_string_equal(merged(&lp, &in), "n01Ln|");
    lp.config.loops = PYTHON_LOOPS_CFRAME_MARKED; /* the library has put in a record of its own */
    in.n_runtime = 4;
    assert_string_equal(merged(&lp, &in), "n01Ln|");
    struct raw_frame before[] = {PYTHON(1), LOOP(0x1380)}; /* the library's code was called by Python */
    in.runtime = before;
    in.n_runtime = 2;
    assert_string_equal(merged(&lp, &in), "nnn0Ln");
    lp = (struct lang_process){.config = {.loops = PYTHON_LOOPS_FRAME, .loop = {{15, 25}}}};
    struct raw_frame one[] = {PYTHON(1)}; /* the loop beyond belongs to another greenlet */
    in.runtime = one;
    in.n_runtime = 1;
    assert_string_equal(merged(&lp, &in), "n0Ln|");
}

static void what_started_python_is_folded_unless_the_program_is_its_own(void **state) {
    (void)state;
    struct lang_process lp = {
        .config = {.loops = PYTHON_LOOPS_SHIM}, .code = {{45, 60}}, .n_code = 1, .only_python = true};
    struct raw_frame python[] = {PYTHON(1), LOOP(0x1180)};
    struct lang_streams in = {.native = native, .n_native = 5, .runtime = python, .n_runtime = 2, .leaf_sp = 0x1000};
    assert_string_equal(merged(&lp, &in), "n0LnnL");
    lp.only_python = false;
    assert_string_equal(merged(&lp, &in), "n0Lnnn");
}

static void a_loop_that_has_just_begun_gets_no_frames_of_another(void **state) {
    (void)state;
    const struct lang_process counted = {.config = {.loops = PYTHON_LOOPS_FRAME, .loop = {{16, 24}}}};
    struct raw_frame one[] = {PYTHON(1)}, two[] = {PYTHON(1), PYTHON(2)};
    struct lang_streams in = {.native = native, .n_native = 5, .runtime = one, .n_runtime = 1, .leaf_sp = 0x1000};
    assert_string_equal(merged(&counted, &in), "nLn0Ln");
    in.runtime = two;
    in.n_runtime = 2;
    assert_string_equal(merged(&counted, &in), "n0Ln1Ln");

    const struct lang_process chains = {.config = {.loops = PYTHON_LOOPS_CFRAME_EACH}};
    struct raw_frame begun[] = {PYTHON(1), LOOP(0x1180), LOOP(0x1380)};
    in.runtime = begun;
    in.n_runtime = 3;
    assert_string_equal(merged(&chains, &in), "nLn0Ln");
}

/* Like merged(), with the code objects of Python frames for their places: merge() brings the stream into another order. */
static const char *ordered(const struct lang_process *lp, const struct lang_streams *in) {
    static char text[64];
    struct lang_merged out[64];
    u32 n = python_merge(lp, in, out);
    for (u32 i = 0; i < n; i++)
        text[i] = (char)(out[i].lang       ? '0' + (int)raw_address(&in->runtime[out[i].index])
                         : out[i].internal ? 'L'
                                           : 'n');
    text[n] = '\0';
    return text;
}

static void states_that_call_each_other_stand_in_the_order_of_their_calls(void **state) {
    (void)state;
    const struct lang_process lp = {.config = {.loops = PYTHON_LOOPS_SHIM}};
    /* The second was called by the first, and called it again. */
    struct raw_frame python[] = {
        STATE(PYTHON_STATE_FURTHER), PYTHON(1), LOOP(0x1080), PYTHON(2), PYTHON(3),   LOOP(0x1280),
        STATE(PYTHON_STATE_FURTHER), PYTHON(4), LOOP(0x1180), PYTHON(5), LOOP(0x1380)};
    struct lang_streams in = {
        .native = native, .n_native = 5, .runtime = python, .n_runtime = 11, .leaf_sp = 0x1000, .whole = true};
    assert_string_equal(ordered(&lp, &in), "1L4L23L5Ln");
}

static void a_state_on_another_stack_is_left_out(void **state) {
    (void)state;
    struct lang_process lp = {.config = {.loops = PYTHON_LOOPS_SHIM}};
    struct raw_frame python[] = {STATE(PYTHON_STATE_FURTHER), PYTHON(1), LOOP(0x9080),
                                 STATE(PYTHON_STATE_FURTHER), PYTHON(2), LOOP(0x1180)};
    struct lang_streams in = {
        .native = native, .n_native = 5, .runtime = python, .n_runtime = 6, .leaf_sp = 0x1000, .whole = true};
    assert_string_equal(ordered(&lp, &in), "n2Lnnn");
    struct raw_frame cut[] = {STATE(PYTHON_STATE_FURTHER), PYTHON(1),
                              LOOP(0x1480)}; /* it may lie where we did not get */
    in.runtime = cut;
    in.n_runtime = 3;
    in.whole = false;
    assert_string_equal(ordered(&lp, &in), "nnnnn1");
    struct raw_frame borrowed[] = {STATE(PYTHON_STATE_BORROWED), PYTHON(1), LOOP(0x1480)};
    in.runtime = borrowed;
    assert_string_equal(ordered(&lp, &in), "nnnnn");
}

#define OBJECT(at)                                                                                                     \
    {                                                                                                                  \
        { (u64) RAW_LANG(LANG_python, PYTHON_RAW_OBJECT) << 56 | (at), 0 }                                             \
    }
#define HELD(object, cfa)                                                                                              \
    {                                                                                                                  \
        { (u64) RAW_LANG(LANG_python, PYTHON_RAW_HELD) << 56 | (object), cfa }                                         \
    }
#define FURTHER STATE(PYTHON_STATE_FURTHER)
#define BORROWED STATE(PYTHON_STATE_BORROWED)

/* Of three loops, whose frames end at 0x1200, 0x1300, 0x1400. */
static const char *placed(struct raw_frame *python, u32 n) {
    static const struct raw_frame loops[] = {NATIVE(10, 0x1100), NATIVE(20, 0x1200), NATIVE(20, 0x1300),
                                             NATIVE(20, 0x1400), NATIVE(50, 0)};
    static const struct lang_process lp = {.config = {.loops = PYTHON_LOOPS_FRAME, .loop = {{15, 25}}}};
    struct lang_streams in = {
        .native = loops, .n_native = 5, .runtime = python, .n_runtime = n, .leaf_sp = 0x1000, .whole = true};
    return ordered(&lp, &in);
}

static void frames_stand_at_the_last_loop_that_holds_them(void **state) {
    (void)state;
    /* The leaf's loop holds what its caller saved, too, and what is of the past. */
    struct raw_frame calls_back[] = {FURTHER,
                                     PYTHON(1),
                                     OBJECT(0x7010),
                                     PYTHON(3),
                                     OBJECT(0x7030),
                                     FURTHER,
                                     PYTHON(2),
                                     OBJECT(0x7020),
                                     HELD(0x7020, 0x1200),
                                     HELD(0x7010, 0x1200),
                                     HELD(0x7999, 0x1200),
                                     HELD(0x7020, 0x1300),
                                     HELD(0x7030, 0x1300),
                                     HELD(0x7030, 0x1400)};
    assert_string_equal(placed(calls_back, 14), "n1L2L3Ln");
    struct raw_frame nothing_held[] = {FURTHER, PYTHON(1), OBJECT(0x7010), FURTHER, PYTHON(2), OBJECT(0x7020)};
    assert_string_equal(placed(nothing_held, 6), "nL1L2Ln"); /* as they came */
}

static void a_state_is_here_by_its_frames_or_by_loops_to_spare(void **state) {
    (void)state;
    struct raw_frame borrowed[] = {BORROWED,  PYTHON(1),      OBJECT(0x7010),      BORROWED,
                                   PYTHON(2), OBJECT(0x7020), HELD(0x7020, 0x1300)};
    assert_string_equal(placed(borrowed, 7), "nn2Lnn");
    struct raw_frame further[] = {FURTHER,
                                  PYTHON(1),
                                  OBJECT(0x7010),
                                  PYTHON(2),
                                  OBJECT(0x7020),
                                  PYTHON(3),
                                  OBJECT(0x7030),
                                  FURTHER,
                                  PYTHON(4),
                                  OBJECT(0x7040),
                                  FURTHER,
                                  PYTHON(5),
                                  OBJECT(0x7050),
                                  PYTHON(6),
                                  HELD(0x7020, 0x1200),
                                  HELD(0x7040, 0x1300)};
    assert_string_equal(placed(further, 16), "n12L4Lnn"); /* one loop to spare: for the first frame, not for others */
}

static void records_without_frames_are_the_leafs_in_every_state(void **state) {
    (void)state;
    const struct lang_process lp = {.config = {.loops = PYTHON_LOOPS_CFRAME_EACH}};
    struct raw_frame python[] = {
        STATE(PYTHON_STATE_FURTHER), PYTHON(1), LOOP(0x1080), PYTHON(2), LOOP(0x1180), LOOP(0x1280),
        STATE(PYTHON_STATE_FURTHER), PYTHON(3), LOOP(0x1380)};
    struct lang_streams in = {
        .native = native, .n_native = 5, .runtime = python, .n_runtime = 9, .leaf_sp = 0x1000, .whole = true};
    assert_string_equal(ordered(&lp, &in), "L1L2L3Ln");
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
        cmocka_unit_test(states_that_call_each_other_stand_in_the_order_of_their_calls),
        cmocka_unit_test(a_state_on_another_stack_is_left_out),
        cmocka_unit_test(frames_stand_at_the_last_loop_that_holds_them),
        cmocka_unit_test(a_state_is_here_by_its_frames_or_by_loops_to_spare),
        cmocka_unit_test(records_without_frames_are_the_leafs_in_every_state),
    };
    return RUN_TESTS(tests);
}
