/* What one interrupt of a sampling timer takes from the program that it interrupts, on this machine.
 * May use: base/clock.h, the CPU's own instructions.
 * Must not: sample, or need privileges. */
#pragma once

#include <stdint.h>

/* Nanoseconds, not too few: entry and exit, the timer's handling and its next setting; without the BPF program. Takes
 * well under a millisecond. In a virtual machine every such interrupt leaves it several times, which costs most of it:
 * that is measured by an instruction that always leaves (CPUID). */
uint64_t interrupt_cost_ns(void);
