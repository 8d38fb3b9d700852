/* What one interrupt for a sample takes from the program that it interrupts, on this machine.
 * May use: base/clock.h, the CPU's own instructions.
 * Must not: sample, or need privileges. */
#pragma once

#include <stdint.h>

/* Nanoseconds of one, not too few: entry and exit, its handling, for a timer its next setting; without the BPF program. */
struct interrupt_costs {
    uint64_t timer_ns; /* of a timer of this CPU, which is set anew for the next */
    uint64_t call_ns;  /* sent by another CPU */
};

/* Takes well under a millisecond. In a virtual machine such interrupts leave it, which costs most of it: that is measured
 * by an instruction that always leaves (CPUID). */
struct interrupt_costs interrupt_costs(void);
