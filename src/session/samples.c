/* A sample of the source becomes a stack of the profile. */
#include <string.h>

#include "session/capture.h"
#include "session/stack_copy.h"

bool capture_view(const struct cpu_record_head *record, size_t size, struct sample_view *ret) {
    const struct cpu_sample *s = (const void *)record;
    if (size < CPU_SAMPLE_HEAD_BYTES || s->walk.n_frames > WALK_CAPACITY || s->n_kernel > CPU_MAX_KERNEL_FRAMES ||
        s->stack_bytes > CPU_STACK_BYTES)
        return false;
    size_t frames = s->walk.n_frames * sizeof(struct raw_frame), kernel = s->n_kernel * 8u;
    if (size < CPU_SAMPLE_HEAD_BYTES + frames + kernel + s->stack_bytes)
        return false;
    const uint8_t *p = (const uint8_t *)record + CPU_SAMPLE_HEAD_BYTES;
    *ret = (struct sample_view){.sample = s, .kernel = (const void *)(p + frames), .stack = p + frames + kernel};
    return true;
}

/* Finishes in user space what the kernel could not walk: its tables were not loaded yet. `memory` is NULL
 * when nothing but the copy of the stack is left. */
static const struct walk_stack *finish_walk(struct capture *c, struct session_process *p, struct target *memory,
                                            const struct sample_view *v) {
    u64 start = v->sample->regs.value[7] - CPU_RED_ZONE_BYTES;
    struct stack_copy copy = stack_copy_of(memory, start, v->stack, v->sample->stack_bytes, v->sample->stack_holes);
    copy.cut = v->sample->flags & CPU_SAMPLE_STACK_CUT;
    copy.walk = c->walk;
    u32 published = p->table.mappings_at;
    u64 fills = tables_statistics(c->tables).fills;
    struct session_walk how = {.host = &copy.host,
                               .regs = &v->sample->regs,
                               .tid = v->sample->head.tid,
                               .exact = !(v->sample->flags & CPU_SAMPLE_INEXACT)};
    session_process_walk(p, &how, c->walk);
    if (p->table.mappings_at != published) /* another list is in another place */
        process_table_publish(&c->processes, p);
    else if (tables_statistics(c->tables).fills != fills)
        cpu_source_clear_misses(c->source, (u32)p->pid);
    /* What the kernel walked of a runtime's own frames belongs to the same instant: keep it. */
    for (u32 i = 0; i < MIN(v->sample->walk.n_streams, (u32)WALK_MAX_STREAMS); i++)
        if (v->sample->walk.streams[i].lang)
            stack_copy_stream(c->walk, &v->sample->walk, i);
    session_process_rewalked(p, &how, c->walk);
    return c->walk;
}

static thread_id thread_of(struct capture *c, struct session_process *p, const struct cpu_sample *s) {
    char comm[17] = {0};
    memcpy(comm, s->head.comm, 16);
    return p ? session_process_thread(p, s->head.tid, comm) : process_table_late_thread(&c->processes, &s->head);
}

/* Until its exec the command is our own child, and our code is nobody's business. */
static bool is_starting(const struct capture *c, const struct cpu_sample *s) {
    return !c->command_runs && c->command.pid > 0 && s->head.tgid == (u32)c->command.pid;
}

/* Whether the sample has a user stack. In execve() the old one is gone before the new one is made. */
static bool has_user_stack(const struct capture *c, const struct cpu_sample *s) {
    bool replaced =
        s->flags & CPU_SAMPLE_EXECVE && mapped_new_image(&c->processes.mapped, s->head.tgid, 0, s->head.time_ns);
    return s->flags & CPU_SAMPLE_USER && !replaced && !is_starting(c, s);
}

/* The process that a sample names, opened at first sight if its code is to be walked. In execve() that was the parent's,
 * and by now may be another's. */
static struct session_process *process_of(struct capture *c, const struct cpu_sample *s, bool user) {
    if (user && s->flags & CPU_SAMPLE_EXECVE && !process_table_find(&c->processes, s->head.tgid) &&
        process_table_parent(&c->processes, s->head.tgid, true))
        return NULL;
    return user ? process_table_get(&c->processes, &s->head) : process_table_find(&c->processes, s->head.tgid);
}

/* The mappings that go with a walk: those of its time, or the present ones if it is finished now. NULL when these
 * are of another program than the one that was sampled. */
static const struct process_snapshot *snapshot_of(const struct capture *c, const struct session_process *p,
                                                  const struct cpu_sample *s) {
    const struct process_snapshot *at = session_process_at(p, s->stack_bytes ? UINT64_MAX : s->head.time_ns, NULL);
    return mapped_new_image(&c->processes.mapped, (u32)p->pid, s->head.time_ns, at->taken_ns) ? NULL : at;
}

/* The process that a sample belongs to, and the one whose code it ran: the same, or, where it has ended or is
 * another program now, its parent, whose memory had the same code in the same places. Either may be NULL. */
static void find_processes(struct capture *c, const struct cpu_sample *s, bool user, struct session_process **ret_own,
                           struct session_process **ret_code) {
    struct session_process *own = process_of(c, s, user);
    if (user && own && !snapshot_of(c, own, s))
        own = NULL;
    *ret_own = own;
    *ret_code = own || !user ? own : process_table_parent(&c->processes, s->head.tgid, true);
}

/* Who is asked for the names of what a process ran that has ended; only runtimes keep them in memory. */
static struct session_process *elder_of(struct capture *c, const struct session_process *p,
                                        const struct cpu_sample *s) {
    return p && p->runtime ? process_table_parent(&c->processes, s->head.tgid, true) : NULL;
}

/* The user part of a sample's stack. */
static void place_walk(struct capture *c, const struct sample_view *v, struct session_process *own,
                       struct assemble_input *in, struct assemble_trust *trust) {
    const struct cpu_sample *s = v->sample;
    struct session_process *p = in->process;
    if (s->walk.n_streams)
        in->walk = &s->walk;
    if (p && s->stack_bytes)
        in->walk = finish_walk(c, p, own ? p->target : NULL, v);
    if (own && in->walk) {
        *trust = mapped_trust(&c->processes.mapped, p, in->walk, s->head.time_ns, s->stack_bytes);
        in->trust = trust;
    }
    if (!in->walk)
        in->missing =
            p ? "[not walked: the process had just appeared]" : process_table_missing(&c->processes, &s->head);
}

void capture_take_sample(struct capture *c, const struct sample_view *v) {
    const struct cpu_sample *s = v->sample;
    bool user = has_user_stack(c, s);
    struct session_process *own, *code;
    struct assemble_trust trust;
    find_processes(c, s, user, &own, &code);
    struct assemble_input in = {.process = code,
                                .elder = elder_of(c, user ? code : NULL, s),
                                .leaf_sp = s->regs.value[7],
                                .kernel = v->kernel,
                                .n_kernel = s->n_kernel,
                                .kernel_thread = !user};
    if (user)
        place_walk(c, v, own, &in, &trust);
    else if (is_starting(c, s))
        in.missing = "[starting the command]";
    else if (s->n_kernel == 0) /* of no interest, or not to be had */
        in.missing = "[kernel]";
    if (code)
        in.snapshot = snapshot_of(c, code, s);
    struct assembled a = assemble(c->assembler, &in);
    assembled_count(&c->files, &a);
    struct profile_sample sample = {
        .stack = a.stack,
        .thread = thread_of(c, own, s),
        .time_ns = s->head.time_ns > c->began_ns ? s->head.time_ns - c->began_ns : 0,
    };
    profile_add_sample(c->profile, &sample, (int64_t[]){1, (int64_t)c->profile->period_ns});
}

void capture_read_names(struct capture *c, const struct sample_view *v) {
    const struct cpu_sample *s = v->sample;
    struct session_process *p = process_of(c, s, has_user_stack(c, s));
    if (!p)
        return;
    session_process_read_names(p, elder_of(c, p, s), &s->walk);
    if (snapshot_of(c, p, s))
        thread_of(c, p, s);
}
