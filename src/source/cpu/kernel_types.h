/* The few kernel structures the BPF programs read, with CO-RE relocation: only the fields named here
 * must exist in the running kernel, at whatever offset. Field names are the kernel's own.
 * May use: nothing.
 * Must not: be included by user-space code. */
#pragma once

#define CORE __attribute__((preserve_access_index))

struct ns_common {
    unsigned int inum;
} CORE;

struct pid_namespace {
    struct ns_common ns;
    unsigned int level;
} CORE;

struct upid {
    int nr;
    struct pid_namespace *ns;
} CORE;

struct pid {
    unsigned int level;
    struct upid numbers[1];
} CORE;

typedef struct {
    int counter;
} atomic_t;

struct signal_struct {
    atomic_t live;
} CORE;

struct thread_struct {
    unsigned long fsbase;
} CORE;

struct mm_struct {
    unsigned long start_stack;
} CORE;

struct task_struct {
    int pid, tgid;
    unsigned int __state;
    unsigned int flags;
    unsigned int in_execve : 1;
    unsigned long long start_time;
    struct mm_struct *mm;
    struct task_struct *group_leader;
    struct pid *thread_pid;
    struct signal_struct *signal;
    struct thread_struct thread;
} CORE;

/* The kernel's own names of the saved user registers (uapi calls them otherwise). */
struct pt_regs___kernel {
    unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
} CORE;

enum {
    KERNEL_PF_EXITING = 0x00000004,
    KERNEL_PF_KTHREAD = 0x00200000,
    KERNEL_TASK_RUNNING = 0,
    KERNEL_STACK_BYTES = 16384
};
