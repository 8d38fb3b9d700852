/* Walks a program between every two of its instructions, as the kernel may interrupt it: at each step of one
 * thread its stack is walked, merged and named, exactly as a sample would be.
 *
 *     python_step PID TID STEPS
 *
 * Prints each distinct stack once, root first: COUNT PC-OFFSET NAME;NAME;… where machinery is marked with a
 * final '*', and PC-OFFSET is where in the evaluation loop it was first seen (-1: elsewhere). */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>

#include "lang/python/python_process.h"
#include "session/assemble.h"

struct stepper {
    struct walk_host host; /* must be first */
    struct profile *profile;
    struct tables *tables;
    struct unwind_rule *rules;
    struct session_files files;
    struct assembler *assembler;
    struct session_process *process;
    struct walk_stack *walk;
    pid_t pid, tid;
    struct u64_map seen; /* stack → index */
    struct {
        stack_id stack;
        unsigned long count;
        long pc;
    } * stacks;
    size_t n_stacks, cap_stacks;
};

static int read_target(struct walk_host *host, u64 address, void *dst, size_t size) {
    return target_read(((struct stepper *)host)->process->target, address, dst, size);
}

static int open_all(struct stepper *s, struct err *err) {
    s->host.read = read_target;
    s->profile = profile_new();
    s->rules = mem_zalloc(TABLE_MAX_RULES, sizeof(*s->rules));
    s->walk = mem_alloc(sizeof(*s->walk));
    if (!s->profile || !s->rules || !s->walk ||
        tables_new(&(struct tables_memory){.rules = s->rules}, &s->tables) < 0 ||
        session_files_init(&s->files, s->profile, s->tables) < 0)
        return err_nomem(err);
    int rc = assembler_new(&s->files, &s->assembler, err);
    return rc < 0 ? rc : session_process_open(&s->files, s->pid, &s->process, err);
}

static void take_registers(pid_t pid, struct walk_regs *ret) {
    struct user_regs_struct u;
    if (ptrace(PTRACE_GETREGS, pid, NULL, &u) < 0)
        return;
    *ret = (struct walk_regs){{u.rax, u.rdx, u.rcx, u.rbx, u.rsi, u.rdi, u.rbp, u.rsp, u.r8, u.r9, u.r10, u.r11, u.r12,
                               u.r13, u.r14, u.r15, u.rip},
                              u.fs_base};
}

static void count_stack(struct stepper *s, stack_id stack, u64 pc) {
    uint64_t *known = u64_map_get(&s->seen, stack);
    if (known) {
        s->stacks[*known].count++;
        return;
    }
    const struct lang_process *lp = s->process->runtime;
    long at = -1;
    for (unsigned i = 0, offset = 0; i < PYTHON_MAX_LOOPS; i++) {
        const struct python_range *loop = &lp->config.loop[i];
        if (pc >= loop->start && pc < loop->end)
            at = (long)(pc - loop->start + offset);
        offset += 1 << 20;
    }
    if (mem_grow((void **)&s->stacks, &s->cap_stacks, s->n_stacks + 1, sizeof(*s->stacks)) < 0 ||
        u64_map_put(&s->seen, stack, s->n_stacks) < 0)
        abort();
    s->stacks[s->n_stacks].stack = stack;
    s->stacks[s->n_stacks].pc = at;
    s->stacks[s->n_stacks++].count = 1;
}

static void take_sample(struct stepper *s) {
    struct walk_regs regs = {0};
    take_registers(s->tid, &regs);
    struct session_walk how = {.host = &s->host, .regs = &regs, .tid = (u32)s->tid, .exact = true, .runtime = true};
    session_process_walk(s->process, &how, s->walk);
    struct assemble_input in = {
        .process = s->process, .snapshot = &s->process->now, .walk = s->walk, .leaf_sp = regs.value[7]};
    count_stack(s, assemble(s->assembler, &in).stack, regs.value[16]);
}

/* Steps through the program; signals are passed on. */
static int step_through(struct stepper *s, unsigned long steps) {
    int status;
    if (ptrace(PTRACE_SEIZE, s->tid, NULL, NULL) < 0 || ptrace(PTRACE_INTERRUPT, s->tid, NULL, NULL) < 0 ||
        waitpid(s->tid, &status, __WALL) < 0)
        return -errno;
    for (unsigned long i = 0; i < steps; i++) {
        take_sample(s);
        int signal = WIFSTOPPED(status) && status >> 16 == 0 && WSTOPSIG(status) != 5 ? WSTOPSIG(status) : 0;
        if (ptrace(PTRACE_SINGLESTEP, s->tid, NULL, (void *)(long)signal) < 0 || waitpid(s->tid, &status, __WALL) < 0)
            return -errno;
        if (WIFEXITED(status) || WIFSIGNALED(status))
            return 0;
    }
    ptrace(PTRACE_DETACH, s->tid, NULL, NULL);
    return 0;
}

static void print_stack(const struct profile *p, stack_id stack) {
    if (!stack)
        return;
    const struct profile_frame *f = &p->frames[p->stacks[stack].frame];
    print_stack(p, p->stacks[stack].parent);
    printf(";%s%s", profile_str(p, p->functions[f->function].name), f->flags & FRAME_INTERNAL ? "*" : "");
}

int main(int argc, char **argv) {
    struct stepper s = {0};
    struct err err = {0};
    if (argc != 4)
        return 2;
    s.pid = atoi(argv[1]);
    s.tid = atoi(argv[2]);
    int rc = open_all(&s, &err);
    if (rc == 0 && !s.process->runtime)
        rc = err_set(&err, -ENOENT, NULL, "No Python: %s", s.process->attach_error.text);
    if (rc == 0)
        rc = step_through(&s, strtoul(argv[3], NULL, 10));
    if (rc < 0) {
        fprintf(stderr, "%d: %s\n", rc, err.text);
        return 1;
    }
    for (size_t i = 0; i < s.n_stacks; i++) {
        printf("%lu %ld ", s.stacks[i].count, s.stacks[i].pc);
        print_stack(s.profile, s.stacks[i].stack);
        printf("\n");
    }
    return 0;
}
