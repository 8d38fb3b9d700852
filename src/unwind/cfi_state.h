/* The state a call-frame program works on and how it becomes a rule. Private to unwind/.
 * May use: unwind/table.h.
 * Must not: read sections. */
#pragma once

#include <stdbool.h>

#include "unwind/table.h"

enum cfi_how {
    CFI_SAME, /* also: unspecified */
    CFI_UNDEFINED,
    CFI_OFFSET,     /* at CFA + value */
    CFI_VAL_OFFSET, /* is CFA + value */
    CFI_REGISTER,   /* is in register `value` */
    CFI_EXPRESSION, /* at what the expression says */
    CFI_VAL_EXPRESSION,
};

struct cfi_expression {
    const u8 *bytes;
    u32 size;
};

/* 16 bytes: a state is copied for every function. */
struct cfi_register {
    u8 how;   /* enum cfi_how */
    u32 size; /* of an expression */
    union {
        s64 value;
        const u8 *bytes;
    };
};

struct cfi_state {
    bool cfa_is_expression;
    u32 cfa_register;
    s64 cfa_offset;
    struct cfi_expression cfa_expression;
    struct cfi_register registers[WALK_REGISTERS];
};

/* Turns a state into a rule. `signal` is the augmentation 'S'. False when it cannot be expressed; the
 * rule is then RULE_NONE. */
bool cfi_state_rule(const struct cfi_state *s, bool signal, struct unwind_rule *ret);
