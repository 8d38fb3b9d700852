/* What the Python walk needs to know of a process: made in user space by attach, read in BPF.
 * May use: unwind/walk.h.
 * Must not: contain pointers, exceed LANG_CONFIG_BYTES, or change meaning between the two compilers. */
#pragma once

#include "unwind/walk.h"

/* Raw frames of this runtime: the low nibble of their kind. */
enum python_raw {
    /* A Python frame. word[0] = code object; word[1] = its stamp << 32 | index of the instruction in
     * 2-byte units, 0xffffffff before the first. The stamp tells it from a code object that was freed
     * and whose memory this one took, see python_stamp(). */
    PYTHON_RAW_FRAME = 1,
    /* The root end of a run of frames that one C activation of the evaluation loop executes. word[0] =
     * address of a record that lies inside that C frame: _PyCFrame (3.10, 3.11) or shim frame (3.12+). */
    PYTHON_RAW_LOOP = 2,
    /* Before the newest frame of a thread state: the merge has to find out whether, and where, it is run on this
     * thread's stack. word[1] = enum python_state_mark. */
    PYTHON_RAW_STATE = 3,
    /* <= 3.9, where a thread has several states. Behind a Python frame: word[0] = its frame object. */
    PYTHON_RAW_OBJECT = 4,
    /* Behind all frames: word[0] = a pointer that the C frame of a loop holds, and that may be to one of these objects;
     * word[1] = that frame's CFA. */
    PYTHON_RAW_HELD = 5,
};

enum python_state_mark {
    PYTHON_STATE_FURTHER = 1, /* one of those that the thread has, or has made */
    PYTHON_STATE_BORROWED,    /* another thread's, unless it is run here */
};

/* How the evaluation loops are told apart. */
enum python_loops {
    PYTHON_LOOPS_FRAME,         /* <= 3.9: every Python frame has a loop of its own, no record of it */
    PYTHON_LOOPS_CFRAME_EACH,   /* 3.10: the same, and a chain of _PyCFrame has one record per loop */
    PYTHON_LOOPS_CFRAME_MARKED, /* 3.11: the oldest frame of a loop is marked is_entry */
    PYTHON_LOOPS_SHIM,          /* 3.12+: a shim frame stands behind the oldest frame of a loop */
};

enum python_config_flags {
    PYTHON_SLOT_COMPLETE = 1, /* a thread whose slot is NULL has made no thread state */
    PYTHON_SLOT_OF_LAST = 2,  /* 3.12+: it names the state that ran last in the thread, whoever made it */
};

enum { PYTHON_TLS_STEPS = 3, PYTHON_MAX_LOOPS = 4 };

/* [start, end) in the target's memory; empty when both are 0. */
struct python_range {
    u64 start, end;
};

/* Where a thread keeps a pointer: at its thread pointer + steps[0]; each further step follows the pointer found and
 * adds. count = 0: not known. */
struct python_place {
    s32 steps[PYTHON_TLS_STEPS];
    u32 count;
};

/* Offsets are bytes within the structure that their name begins with. */
struct python_config {
    u64 interpreters; /* address of the pointer to the newest interpreter */
    u64 code_type;    /* address of PyCode_Type, 0 when it is not known */
    /* The evaluation loop's function, and the parts that the compiler moved elsewhere. Those that are empty come last; all
     * are while the loop is not known. */
    struct python_range loop[PYTHON_MAX_LOOPS];

    u64 current; /* <= 3.11: address of the pointer to the thread state that holds the lock; 0 when it is not known */

    struct python_place slot;    /* the thread's state */
    struct python_place running; /* 3.12+: the one that it runs now; NULL while it waits or is outside of Python */
    u8 flags;                    /* enum python_config_flags */
    u8 loops;                    /* enum python_loops */
    u8 instruction_shift;        /* of the value in the frame: 1 when it counts bytes */
    u8 thread_through_cframe;    /* the newest frame is in the newest _PyCFrame, not in the thread state */

    u16 interpreter_next, interpreter_threads;
    u16 thread_next, thread_id, thread_native_id; /* native id: 0 when not kept */
    u16 thread_interpreter;
    u16 thread_frame;       /* the newest frame, unless thread_through_cframe */
    u16 thread_cframe;      /* the newest _PyCFrame */
    u16 thread_root_cframe; /* embedded in the thread state: the end of the chain */
    u16 cframe_frame, cframe_previous;

    u16 frame_bytes; /* read of a frame at once, at most PYTHON_READ */
    u16 frame_code, frame_previous, frame_instruction;
    u16 frame_mark; /* is_entry (3.11) or owner (3.12+), one byte */
    u16 frame_copy; /* tlbc_index, s32; 0 when there is none (GIL builds) */

    u16 code_type_at, code_first_line;
    u16 code_filename;     /* 0 from 3.12 on, where the stamp needs no more */
    u16 code_instructions; /* first instruction; unused <= 3.10 */
    u16 code_copies;       /* co_tlbc, with frame_copy */
};

/* Whether an address is in the evaluation loop's code, as far as that is known. */
static __always_inline int python_in_loop(const struct python_config *c, u64 address) {
    u32 inside = 0;
    WALK_UNROLL
    for (u32 i = 0; i < PYTHON_MAX_LOOPS; i++)
        inside |= address - c->loop[i].start < c->loop[i].end - c->loop[i].start;
    return inside != 0;
}

/* What is read of a code object at once, and from where on its words are of the stamp. */
enum { PYTHON_CODE_BYTES = 120 };

/* Half of a hash of what is in a code object from its first line on: counts of variables, pointers to its names and its
 * file, from 3.12 on a number that no other one has. Two that take turns at one address differ in it, other than by a rare
 * chance. `code` is what was read of it; the line lies at `first_line`. */
static __always_inline u32 python_stamp(const u64 *code, u16 first_line) {
    u64 h = 0;
    WALK_UNROLL
    for (u32 i = 4; i < PYTHON_CODE_BYTES / 8; i++) {
        u64 counts = 0 - (u64)(8 * i + 7 >= first_line); /* no branch: the verifier would follow both ways */
        h = (h ^ (code[i] & counts)) * 0x9e3779b97f4a7c15ull;
        h ^= h >> 29;
    }
    return (u32)(h >> 32);
}

/* Through 3.11 nothing numbers code objects, and one that takes the place of another may have its parts where the other
 * had them; then its file's name is another still. What was read of that str changes the stamp by its text, as far as it
 * was read. Other than ASCII does not count: such a str has more fields, and some are filled in later. */
enum { PYTHON_TEXT_LENGTH = 2, PYTHON_TEXT_STATE = 4, PYTHON_TEXT_DATA = 6 }; /* words of a str, 3.6 to 3.11 */

static __always_inline u32 python_stamp_of_text(u32 stamp, const u64 *text) {
    u64 h = stamp, ascii = 0 - (text[PYTHON_TEXT_STATE] >> 6 & 1); /* state.ascii */
    WALK_UNROLL
    for (u32 i = PYTHON_TEXT_DATA; i < PYTHON_CODE_BYTES / 8; i++) { /* no branch here either */
        s64 left = (s64)text[PYTHON_TEXT_LENGTH] - 8 * (s64)(i - PYTHON_TEXT_DATA);
        u64 whole = ~(u64)((left - 8) >> 63), some = ~(u64)((left - 1) >> 63);
        u64 part = ((u64)1 << (8 * ((u64)left & 7))) - 1;
        h = (h ^ (text[i] & ascii & (whole | (some & part)))) * 0x9e3779b97f4a7c15ull;
        h ^= h >> 29;
    }
    return (u32)(h >> 32);
}

/* The largest single read: reads are masked with it, so it is one less than a power of two. */
enum { PYTHON_READ = 127 };

_Static_assert(sizeof(struct python_config) <= 256, "must fit LANG_CONFIG_BYTES");
_Static_assert(PYTHON_READ <= sizeof(((struct walk_state *)0)->scratch), "frames are read into scratch");
