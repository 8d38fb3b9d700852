/* The walking contract: what a stack walk may do and what it produces. Every runtime's walk is
 * written once over it, as bounded, allocation-free `static inline` C, and compiled for three hosts:
 * BPF (reads with bpf_probe_read_user), user space over a live process, user space over a core file.
 * May use: nothing but fixed-width integers; includes nothing that BPF lacks.
 * Must not: allocate, loop without a bound, call libc.
 *
 * A walk reads the target through walk_read() and emits raw frames through walk_emit(), leaf first.
 * The raw frames of one runtime form a stream; native code is always stream 0. Streams are merged
 * and named later, in user space. */
#pragma once

#include <linux/types.h>
#include <stddef.h>

/* A BPF program includes bpf_helpers.h before this. */
#ifndef __bpf__
#include <string.h>
#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif
#endif

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s16 s16;
typedef __s32 s32;
typedef __s64 s64;

/* Before a loop that must be unrolled: older BPF verifiers know no loops. */
#ifdef __clang__
#define WALK_UNROLL _Pragma("unroll")
#else
#define WALK_UNROLL _Pragma("GCC unroll 32")
#endif

/* What the compiler knows of x it forgets: so that it checks, and uses, what the verifier sees being checked. */
#define WALK_OPAQUE(x) __asm__ volatile("" : "+r"(x))

/* ---- raw frames ---- */

/* word[0]: kind in the top 8 bits, a user-space address or pointer in the low 56.
 * word[1]: depends on the kind. */
struct raw_frame {
    u64 word[2];
};

/* The kind's high nibble is a lang's id (0 = native), the low nibble is that lang's own business. */
enum raw_kind {
    RAW_NATIVE = 0x01, /* word[0] = instruction address; word[1] = CFA | enum raw_native_flags */
};

enum raw_native_flags {
    RAW_APPROXIMATE = 1, /* the step from this frame to its caller used the frame pointer only */
    RAW_EXACT = 2,       /* the address is an interrupted instruction, not a return address */
    RAW_SIGNAL = 4,      /* this frame is a signal trampoline */
    RAW_FLAGS = 7,       /* CFAs are 8-aligned; the low three bits are the flags */
};

#define RAW_ADDRESS_MASK ((1ull << 56) - 1)
static __always_inline struct raw_frame raw_frame(u8 kind, u64 address, u64 second) {
    return (struct raw_frame){{(u64)kind << 56 | (address & RAW_ADDRESS_MASK), second}};
}
static __always_inline u8 raw_kind(const struct raw_frame *f) {
    return (u8)(f->word[0] >> 56);
}
static __always_inline u64 raw_address(const struct raw_frame *f) {
    return f->word[0] & RAW_ADDRESS_MASK;
}

/* An address of a native frame's code itself: of a return address, the byte before, as a call may be the last thing
 * that a function or a mapping has. Where a signal's handler returns to is a function's first instruction. */
static __always_inline u64 raw_code(const struct raw_frame *f) {
    return raw_address(f) - (f->word[1] & (RAW_EXACT | RAW_SIGNAL) ? 0 : 1);
}

/* ---- the stack being filled ---- */

enum {
    WALK_MAX_STREAMS = 4,     /* power of two */
    WALK_CAPACITY = 24576,    /* raw frames of all streams together */
    WALK_NATIVE_LEAF = 8192,  /* of the native stream: frames kept at the leaf end … */
    WALK_NATIVE_ROOT = 8192,  /* … and, in a ring, at the root end (power of two) */
    WALK_RUNTIME_LEAF = 4096, /* the same for every other stream */
    WALK_RUNTIME_ROOT = 4096,
    WALK_MAX_STEPS = 32768, /* frames visited per stream */
};

enum walk_end {
#define WALK_END(name, whole, sentence) WALK_END_##name,
#include "unwind/walk_ends.def"
#undef WALK_END
    WALK_END_COUNT
};

/* Frames [first, first + leaf_kept) are the leaf end. If total > leaf_kept, the next root_kept slots
 * are a ring whose oldest entry is at (total - leaf_kept) % root capacity when it has wrapped. */
struct walk_stream {
    u32 first; /* index into frames[] */
    u32 total; /* frames emitted, kept or not */
    u16 leaf_capacity, root_capacity;
    u8 lang; /* id of the lang that walked it, 0 = native */
    u8 end;  /* enum walk_end */
    u8 pad[2];
};

struct walk_stack {
    u32 n_streams;
    u32 n_frames; /* slots of frames[] in use */
    struct walk_stream streams[WALK_MAX_STREAMS];
    struct raw_frame frames[WALK_CAPACITY];
};

/* Slots a stream occupies. */
static __always_inline u32 walk_stream_kept(const struct walk_stream *s) {
    u32 capacity = (u32)s->leaf_capacity + s->root_capacity;
    return s->total < capacity ? s->total : capacity;
}

/* ---- registers: DWARF numbering, see unwind/x86_64.h ---- */

enum { WALK_REGISTERS = 17 };

struct walk_regs {
    u64 value[WALK_REGISTERS];
    u64 tls_base; /* thread pointer: fs base on x86-64 */
};

/* ---- hosts ---- */

struct walk_host;

#ifndef __bpf__
/* A host in user space. read() copies exactly `size` bytes or returns a negative errno. */
struct unwind_rule;
struct tables;
struct walk_host {
    int (*read)(struct walk_host *host, u64 address, void *dst, size_t size);
    struct tables *tables; /* this and the next two: set by walk_native() */
    const void *const *table_chunks;
    const struct unwind_rule *table_rules;
};
#endif

/* Bytes of the target's memory that are read at once where frames lie side by side. */
enum { WALK_PAGE = 4096, WALK_WINDOW = 2048 };

/* The rule found for a return address: the same callers come again and again, in one stack and from sample to
 * sample, and a search misses the cache at every step. It depends on the list of mappings, whose place in memory
 * may be another list's a second later: so it is believed for one epoch only. */
enum {
    WALK_KNOWN = 128,      /* power of two */
    WALK_KNOWN_WAYS = 2,   /* in one place, the newest first */
    WALK_SPANS = 32,       /* the same */
    WALK_SPAN_SHIFT = 8,   /* instructions that are not so many bytes apart share a place */
    WALK_EPOCH_SHIFT = 29, /* of nanoseconds: half a second, see tables_retire_mappings() */
    WALK_EPOCH_BITS = 25,
};
enum { WALK_MOMENT_SHIFT = 20 }; /* of nanoseconds: what is true of a runtime's memory is believed for a millisecond */
struct walk_known {
    u64 at;   /* address of the code; 0 = nothing yet */
    u64 rule; /* index; from bit 16 on the epoch, then the reference to the mappings */
};

/* The same for interrupted instructions. They are all different, but the code with one rule is large in loops. */
struct walk_span {
    u64 start, end; /* addresses of the code, [start, end) */
    u64 rule;
};

/* The part of a walk that is too large for BPF's stack; the host keeps it in scratch memory. What every sample touches
 * lies together: an interrupt may have emptied the processor's cache of page addresses.
 * Registers that a callee saved are located lazily: `saved_at[r]` is the stack address where the
 * frame's value lies, 0 while `regs.value[r]` is still good. */
struct walk_state {
    /* These outlive a walk; zeroed at first. */
    struct walk_known known[WALK_KNOWN][WALK_KNOWN_WAYS];
    struct walk_span spans[WALK_SPANS];
    u64 leaf_mapping[4]; /* struct table_mapping of the last interrupted code, */
    u64 leaf_when;       /* … and the mappings and epoch it is of, as in walk_known */
    u64 mapping[4];      /* struct table_mapping, see table_look_for_mapping() */
    u64 memo[140];       /* what a runtime's walk found, for the next of the same `moment` */

    struct walk_regs leaf; /* of the interrupted instruction: runtimes start from these */
    struct walk_regs regs; /* of the frame being looked at */
    u64 saved_at[WALK_REGISTERS];
    u64 scratch[WALK_REGISTERS]; /* for reads larger than BPF's stack allows */
    u64 runtime[32];        /* a walk's own state: here, not on BPF's stack, where each value makes the verifier fork */
    struct walk_host *host; /* NULL in BPF */
    u64 moment;             /* the process and the time >> WALK_MOMENT_SHIFT; 0 when the state serves one walk only */
    u32 epoch;     /* time >> WALK_EPOCH_SHIFT, its low WALK_EPOCH_BITS; 0 when the state serves one walk only */
    u32 stream;    /* index of the stream being filled */
    u32 tid;       /* kernel thread id as the target's pid namespace numbers it */
    u8 partial;    /* see walk_is_partial() */
    u64 floor;     /* where the stack in use begins: nothing is wanted below */
    u64 window_at; /* see walk_window_move(): address of window[0], a multiple of 8; 0 = it holds nothing */
    u64 found;     /* where in the window's bytes lies what is looked at; here, for the verifier's sake */
    u64 window[2 * WALK_WINDOW / 8]; /* the second half: for what is read beside it, see walk_aside() */
};

/* A walk over one thread: its memory. Lives on the host's stack, as in BPF a pointer kept in map memory would lose its
 * type; and holds nothing else, so that a function which the verifier looks at by itself (WALK_APART) can have one. */
struct walk {
    struct walk_stack *stack;
    struct walk_state *state;
};

/* Whether of the leaf's registers only the instruction and stack pointers are known. In the kernel the thread
 * itself was interrupted: all are. */
static __always_inline int walk_is_partial(const struct walk *w) {
#ifdef __bpf__
    (void)w;
    return 0;
#else
    return w->state->partial;
#endif
}

/* 0, or negative when the bytes cannot be read. */
#ifdef __bpf__
#define walk_host_read(host, dst, size, address) bpf_probe_read_user(dst, size, (const void *)(address))
#else
#define walk_host_read(host, dst, size, address) ((host)->read((host), (address), (dst), (size)))
#endif
#define walk_read(w, dst, size, address) walk_host_read((w)->state->host, dst, size, address)

/* Of what is called from many places, or from a loop, BPF's verifier looks at each copy, from every state that it is
 * entered in; Linux 7.0 takes few of them for the same, and comes to 20 times as many instructions. It looks once at a
 * global function, which therefore gets nothing but what it can check. */
#ifdef __bpf__
#define WALK_APART __attribute__((noinline))
#else
#define WALK_APART static inline
#endif

/* ---- the window ----
 * A read costs more than the bytes it brings, and frames lie side by side: so a piece of the target's memory
 * is kept, and served from. Where it would reach beyond what can be read, it ends with the page of the word that was
 * asked for: it can be read exactly when that word can. A walk begins without one: what it held was of another moment. */

static __always_inline void walk_window_drop(struct walk *w) {
    w->state->window_at = 0;
}

/* Reads the window anew so that it begins at `from`, or as near to it as the page of `address` allows. 0, or
 * negative: then it holds nothing. */
static __always_inline int walk_window_move(struct walk_state *state, u64 from, u64 address) {
    u64 page = address & ~(u64)(WALK_PAGE - 1);
    u64 at = from & ~7ull;
    if (at - page > WALK_PAGE - WALK_WINDOW)
        at = at < page ? page : page + WALK_PAGE - WALK_WINDOW;
    state->window_at = 0;
    if (page == 0 || walk_host_read(state->host, state->window, WALK_WINDOW, at) < 0)
        return -1;
    state->window_at = at;
    return 0;
}

/* Whether the window holds `size` bytes at `address`. */
static __always_inline int walk_window_holds(struct walk *w, u64 address, u32 size) {
    return w->state->window_at && address - w->state->window_at <= WALK_WINDOW - size;
}

/* The word that lies `offset` bytes into the window or what is beside it. */
static __always_inline u64 walk_window_word(const struct walk_state *state, u64 offset) {
    return state->window[offset / 8 % (2 * WALK_WINDOW / 8)];
}

/* Whether the window holds a word at this offset. */
static __always_inline int walk_window_holds_word(u64 offset) {
    return !(offset & 7) && offset <= WALK_WINDOW - 8;
}

/* Reads at most WALK_WINDOW bytes beside the window, which stays: to window + WALK_WINDOW bytes. 0 or negative. */
static __always_inline int walk_aside(struct walk_state *state, u32 size, u64 address) {
    return walk_host_read(state->host, state->window + WALK_WINDOW / 8, size & (WALK_WINDOW - 1), address);
}

/* What lies below a return address is wanted next: a frame's saved registers; of the interrupted one also what a runtime
 * keeps in it. */
enum { WALK_BELOW = 56, WALK_BELOW_FIRST = 256 };

/* Moves the window over a stack in use, whose pages are all there, but for the last. 0, or negative. */
static __always_inline int walk_window_up(struct walk_state *state, u64 address) {
    u64 from = address - (state->window_at ? WALK_BELOW : WALK_BELOW_FIRST);
    if (from < state->floor && state->floor <= address)
        from = state->floor;
    from &= ~7ull;
    state->window_at = 0;
    if (walk_host_read(state->host, state->window, WALK_WINDOW, from) < 0)
        return walk_window_move(state, from, address);
    state->window_at = from;
    return 0;
}

/* Gets the word at `address` into the window or beside it, and notes where. 0, or negative. */
WALK_APART int walk_stack_fetch(struct walk_state *state, u64 address) {
    if (!state)
        return -1;
    if (!(address & 7) && walk_window_up(state, address) == 0) {
        state->found = address - state->window_at;
        return 0;
    }
    state->found = WALK_WINDOW;
    return walk_aside(state, 8, address);
}

/* The word at `address` of a stack that is followed upwards. 0, or negative when it cannot be read. */
static __always_inline int walk_stack_word(struct walk *w, u64 address, u64 *ret) {
    struct walk_state *state = w->state;
    u64 offset = address - state->window_at;
    state->found = offset;
    if ((!state->window_at || !walk_window_holds_word(offset)) && walk_stack_fetch(state, address) < 0)
        return -1;
    *ret = walk_window_word(state, state->found);
    return 0;
}

/* Opens a stream at the end of the frames so far, to be filled. Returns 0, or -1 when there are too many. */
static __always_inline int walk_begin(struct walk *w, u32 lang) {
    struct walk_stack *stack = w->stack;
    u32 i = stack->n_streams;
    if (i >= WALK_MAX_STREAMS)
        return -1;
    struct walk_stream *s = &stack->streams[i];
    s->first = stack->n_frames;
    s->total = 0;
    s->leaf_capacity = lang ? WALK_RUNTIME_LEAF : WALK_NATIVE_LEAF;
    s->root_capacity = lang ? WALK_RUNTIME_ROOT : WALK_NATIVE_ROOT;
    s->lang = (u8)lang;
    s->end = WALK_END_NONE;
    stack->n_streams = i + 1;
    w->state->stream = i;
    return 0;
}

/* The stream being filled. */
static __always_inline struct walk_stream *walk_filled(struct walk *w) {
    u32 i = w->state->stream; /* less than WALK_MAX_STREAMS; a check would be one more way for the verifier to follow */
    WALK_OPAQUE(i);
    return &w->stack->streams[i & (WALK_MAX_STREAMS - 1)];
}

/* Appends a frame to the stream being filled; past its capacity the root end overwrites itself. */
static __always_inline void walk_emit(struct walk *w, u8 kind, u64 address, u64 second) {
    struct walk_stream *s = walk_filled(w);
    u32 n = s->total++;
    u32 leaf = s->leaf_capacity;
    u32 slot = s->first + (n < leaf ? n : leaf + ((n - leaf) & (s->root_capacity - 1u)));
    if (slot >= WALK_CAPACITY)
        return;
    w->stack->frames[slot] = raw_frame(kind, address, second);
}

/* The stack's frame in `slot`, NULL when there is no such slot. */
static __always_inline const struct raw_frame *walk_frame(const struct walk *w, u32 slot) {
    if (slot >= WALK_CAPACITY)
        return NULL;
    const struct raw_frame *f = &w->stack->frames[slot];
    WALK_OPAQUE(f); /* what is then added to it must not become part of the index */
    return f;
}

/* Where the stream being filled has room for `n` frames side by side, which walk_emitted() counts when they are there;
 * more than WALK_CAPACITY - n, which the caller checks, when it has none. */
static __always_inline u64 walk_room(struct walk *w, u32 n) {
    const struct walk_stream *s = walk_filled(w);
    u32 leaf = s->leaf_capacity, root = s->root_capacity;
    u32 used = s->total < leaf ? s->total : leaf + ((s->total - leaf) & (root - 1u));
    u64 slot = used + n > (s->total < leaf ? leaf : leaf + root) ? WALK_CAPACITY : s->first + used;
    WALK_OPAQUE(slot);
    return slot;
}

static __always_inline void walk_emitted(struct walk *w, u32 n) {
    walk_filled(w)->total += n;
}

/* Closes the stream being filled. */
static __always_inline void walk_finish(struct walk *w, u8 end) {
    struct walk_stream *s = walk_filled(w);
    s->end = end;
    u32 used = s->first + walk_stream_kept(s);
    w->stack->n_frames = used < WALK_CAPACITY ? used : WALK_CAPACITY;
}

/* Loops `step(0..max-1, ctx)` until it returns non-zero: bpf_loop in the kernel, a for in user space.
 * `step` has the signature `static long step(u32 i, void *ctx)`. */
#ifdef __bpf__
#define walk_loop(max, step, ctx) bpf_loop(max, step, ctx, 0)
#else
#define walk_loop(max, step, ctx)                                                                                      \
    do {                                                                                                               \
        for (u32 _i = 0; _i < (max); _i++)                                                                             \
            if (step(_i, ctx))                                                                                         \
                break;                                                                                                 \
    } while (0)
#endif
