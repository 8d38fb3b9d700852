/* Why the CPU sampler could not start, in words. Private to source/cpu.
 * May use: base/, libbpf.
 * Must not: retry or fall back; callers decide. */
#pragma once

#include "base/err.h"

/* 0, or -ENOTSUP with the reason: too old, no BTF, no BPF. */
int cpu_check_kernel(struct err *err);

/* 0, or -EPERM with the capabilities that are missing and how to get them. */
int cpu_check_privileges(struct err *err);

/* Turns a failure of loading or attaching into a sentence: -EPERM names the missing capabilities and
 * the command that grants them; anything else quotes the kernel's last words. */
int cpu_explain_failure(int rc, struct err *err);

/* Keeps libbpf's last warning for cpu_explain_failure() and off the terminal, unless `verbose`. */
void cpu_capture_messages(bool verbose);

/* Raises RLIMIT_NOFILE to at least n if the hard limit allows. */
void cpu_raise_file_limit(size_t n);
