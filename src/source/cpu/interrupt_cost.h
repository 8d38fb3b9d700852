/* What one interrupt for a sample takes from the program that it interrupts, on this machine.
 * May use: base/clock.h, the CPU's own instructions.
 * Must not: sample, or need privileges. */
#pragma once

#include <stdint.h>

enum interrupt {
    INTERRUPT_TIMER, /* of a timer of this CPU, which is set anew for the next */
    INTERRUPT_CALL,  /* sent by another CPU */
};

/* Nanoseconds, not too few: entry and exit, its handling, for a timer its next setting; without the BPF program. Takes
 * well under a millisecond. In a virtual machine such interrupts leave it, which costs most of it: that is measured by
 * an instruction that always leaves (CPUID). */
uint64_t interrupt_cost_ns(enum interrupt kind);
