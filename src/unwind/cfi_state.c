#include "unwind/cfi_state.h"

#include "base/reader.h"

/* ---- expressions ----
 * Evaluated over symbols: a value is constant + register, perhaps behind one dereference. */

enum { NO_REGISTER = 0xff };

struct symbolic {
    u8 reg;     /* NO_REGISTER: a constant */
    bool deref; /* value = *(reg + offset) + add; else reg + offset */
    s64 offset, add;
};

static s64 *addend(struct symbolic *v) {
    return v->deref ? &v->add : &v->offset;
}

/* Reads the operand of a constant-pushing operation. */
static bool constant(u8 op, struct reader *r, s64 *ret) {
    switch (op) {
    case 0x08: /* DW_OP_const1u */
        *ret = reader_u8(r);
        return true;
    case 0x09:
        *ret = (int8_t)reader_u8(r);
        return true;
    case 0x0a:
        *ret = reader_u16(r);
        return true;
    case 0x0b:
        *ret = (int16_t)reader_u16(r);
        return true;
    case 0x0c:
        *ret = reader_u32(r);
        return true;
    case 0x0d:
        *ret = (int32_t)reader_u32(r);
        return true;
    case 0x10:
        *ret = (s64)reader_uleb(r);
        return true;
    case 0x11:
        *ret = reader_sleb(r);
        return true;
    default:
        if (op >= 0x30 && op <= 0x4f) { /* DW_OP_lit0 … lit31 */
            *ret = op - 0x30;
            return true;
        }
        return false;
    }
}

static bool combine(u8 op, struct symbolic *stack, unsigned *depth) {
    if (*depth < 2)
        return false;
    struct symbolic *a = &stack[*depth - 2], b = stack[*depth - 1];
    (*depth)--;
    if (b.reg == NO_REGISTER && !b.deref) {
        *addend(a) = (s64)((u64)*addend(a) + (op == 0x22 ? (u64)b.offset : -(u64)b.offset));
        return true;
    }
    if (op == 0x22 && a->reg == NO_REGISTER && !a->deref) {
        *addend(&b) = (s64)((u64)*addend(&b) + (u64)a->offset);
        *a = b;
        return true;
    }
    return false;
}

enum { EXPRESSION_STACK = 8 };

static bool push(struct symbolic *stack, unsigned *depth, struct symbolic v) {
    if (*depth == EXPRESSION_STACK)
        return false;
    stack[(*depth)++] = v;
    return true;
}

/* One operation; false when it is one that the tables cannot express. */
static bool evaluate_operation(u8 op, struct reader *r, struct symbolic *stack, unsigned *depth) {
    s64 value;
    if (op >= 0x70 && op <= 0x8f) { /* DW_OP_breg0 … breg31 */
        value = reader_sleb(r);
        return op - 0x70 < WALK_REGISTERS &&
               push(stack, depth, (struct symbolic){.reg = (u8)(op - 0x70), .offset = value});
    }
    if (constant(op, r, &value))
        return push(stack, depth, (struct symbolic){.reg = NO_REGISTER, .offset = value});
    if (op == 0x22 || op == 0x1c) /* DW_OP_plus, DW_OP_minus */
        return combine(op, stack, depth);
    if (op == 0x96) /* DW_OP_nop */
        return true;
    if (*depth == 0)
        return false;
    struct symbolic *top = &stack[*depth - 1];
    if (op == 0x23) { /* DW_OP_plus_uconst */
        *addend(top) = (s64)((u64)*addend(top) + reader_uleb(r));
        return true;
    }
    if (op != 0x06 || top->deref || top->reg == NO_REGISTER) /* DW_OP_deref */
        return false;
    top->deref = true;
    return true;
}

static bool evaluate(const struct cfi_expression *e, struct symbolic *ret) {
    struct symbolic stack[EXPRESSION_STACK];
    unsigned depth = 0;
    struct reader r = reader_of(e->bytes, e->size);
    while (reader_left(&r) && !r.failed) {
        u8 op = reader_u8(&r);
        if (!evaluate_operation(op, &r, stack, &depth))
            return false;
    }
    if (r.failed || depth != 1)
        return false;
    *ret = stack[0];
    return true;
}

/* The stubs of lazy binding: rsp + 8 + ((rip & 15) >= N) << 3. N is the literal before DW_OP_ge. */
static bool is_plt_expression(const struct cfi_expression *e, s32 *ret_limit) {
    static const u8 head[] = {0x77, 0x08, 0x80, 0x00, 0x3f, 0x1a}, tail[] = {0x2a, 0x33, 0x24, 0x22};
    if (e->size != 11 || memcmp(e->bytes, head, 6) != 0 || memcmp(e->bytes + 7, tail, 4) != 0)
        return false;
    *ret_limit = e->bytes[6] - 0x30;
    return *ret_limit >= 0 && *ret_limit < 16;
}

/* ---- rules ---- */

static bool cfa_rule(const struct cfi_state *s, struct unwind_rule *ret) {
    if (!s->cfa_is_expression) {
        if (s->cfa_register >= WALK_REGISTERS || s->cfa_offset != (s32)s->cfa_offset)
            return false;
        ret->kind = RULE_CFA_REG;
        ret->cfa_reg = (u8)s->cfa_register;
        ret->cfa_offset = (s32)s->cfa_offset;
        return true;
    }
    if (is_plt_expression(&s->cfa_expression, &ret->cfa_offset)) {
        ret->kind = RULE_CFA_PLT;
        return true;
    }
    struct symbolic v;
    if (!evaluate(&s->cfa_expression, &v) || v.reg == NO_REGISTER || v.offset != (s32)v.offset || v.add != (s16)v.add)
        return false;
    ret->kind = v.deref ? RULE_CFA_DEREF : RULE_CFA_REG;
    ret->cfa_reg = v.reg;
    ret->cfa_offset = (s32)v.offset;
    ret->cfa_add = (s16)v.add;
    return true;
}

static bool return_address_rule(const struct cfi_register *ra, struct unwind_rule *ret) {
    if (ra->how == CFI_REGISTER && ra->value >= 0 && ra->value < WALK_REGISTERS) {
        ret->flags |= RULE_RA_IN_REGISTER;
        ret->ra_reg = (u8)ra->value;
        return true;
    }
    ret->ra_offset = (s16)ra->value;
    return ra->how == CFI_OFFSET && ra->value == ret->ra_offset;
}

/* Saved by an expression: rbp + offset, as functions do that realign their stack. */
static bool saved_at_rbp(const struct cfi_register *r, s64 *ret_offset) {
    struct symbolic v;
    if (r->how != CFI_EXPRESSION || !evaluate(&(struct cfi_expression){.bytes = r->bytes, .size = r->size}, &v) ||
        v.deref || v.reg != 6)
        return false;
    *ret_offset = v.offset;
    return true;
}

/* Losing a saved register costs at most a later frame; losing the rule would cost this one. */
static void saved_rules(const struct cfi_state *s, struct unwind_rule *ret) {
    static const u8 numbers[RULE_SAVED] = RULE_SAVED_REGISTERS;
    s64 offset;
    if (saved_at_rbp(&s->registers[6], &offset))
        ret->flags |= RULE_SAVED_FROM_RBP;
    for (unsigned i = 0; i < RULE_SAVED; i++) {
        const struct cfi_register *r = &s->registers[numbers[i]];
        ret->saved[i] = RULE_NOT_SAVED;
        if (ret->flags & RULE_SAVED_FROM_RBP) {
            if (!saved_at_rbp(r, &offset))
                continue;
        } else if (r->how == CFI_OFFSET) {
            offset = r->value;
        } else {
            continue;
        }
        if ((offset & 7) == 0 && offset > RULE_NOT_SAVED * 8 && offset <= 32767 * 8)
            ret->saved[i] = (s16)(offset >> 3);
    }
}

bool cfi_state_rule(const struct cfi_state *s, bool signal, struct unwind_rule *ret) {
    *ret = (struct unwind_rule){.kind = RULE_NONE};
    if (signal) {
        ret->kind = RULE_SIGNAL;
        return true;
    }
    if (s->registers[16].how == CFI_UNDEFINED) {
        ret->kind = RULE_ROOT;
        return true;
    }
    struct unwind_rule rule = {0};
    if (!cfa_rule(s, &rule) || !return_address_rule(&s->registers[16], &rule))
        return false;
    saved_rules(s, &rule);
    *ret = rule;
    return true;
}
