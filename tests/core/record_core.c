/* Writes a small core file of a live Python process: only the pages that finding the interpreter, walking
 * every thread, naming its frames and itself read, as `scry dump --core` will on a machine without the process's files.
 *
 *     record_core PID FILE
 *
 * Linked with --wrap for three functions: no mapped file can be had, what is read is noted, but not what is only
 * looked at in search of the interpreter. Everything else of a page is zeros. */
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/procfs.h>
#include <sys/user.h>

#include "base/buf.h"
#include "base/hash.h"
#include "lang/lang.h"
#include "lang/python/python_process.h"
#include "target/internal.h"

#include "../support/core_thread.h"

int __real_target_read(struct target *t, uint64_t address, void *dst, size_t size);
int __wrap_target_read(struct target *t, uint64_t address, void *dst, size_t size);
int __wrap_target_open_mapping(struct target *t, const struct target_mapping *m, struct err *err);
int __real_python_identify_unseen(const struct python_object *o, struct lang_process *lp, struct err *err);
int __wrap_python_identify_unseen(const struct python_object *o, struct lang_process *lp, struct err *err);

int __wrap_target_open_mapping(struct target *t, const struct target_mapping *m, struct err *err) {
    (void)t, (void)m;
    return err_set(err, -ENOENT, NULL, "not here");
}

/* ---- what was read ---- */

/* Bytes of a page that nobody read stay 0. */
struct kept_page {
    uint64_t address;
    uint8_t bytes[PAGE_BYTES];
};

static struct {
    struct kept_page *all;
    size_t count, capacity;
    struct u64_map by_address; /* index */
    bool off;                  /* what is read now is not noted */
} pages;

static struct kept_page *page_of(uint64_t address) {
    uint64_t *known = u64_map_get(&pages.by_address, address);
    if (known)
        return &pages.all[*known];
    if (mem_grow((void **)&pages.all, &pages.capacity, pages.count + 1, sizeof(*pages.all)) < 0 ||
        u64_map_put(&pages.by_address, address, pages.count) < 0)
        abort();
    pages.all[pages.count] = (struct kept_page){.address = address};
    return &pages.all[pages.count++];
}

int __wrap_target_read(struct target *t, uint64_t address, void *dst, size_t size) {
    int rc = __real_target_read(t, address, dst, size);
    for (size_t done = 0; rc == 0 && !pages.off && done < size;) {
        uint64_t at = address + done, within = at & (PAGE_BYTES - 1);
        size_t n = MIN(size - done, PAGE_BYTES - within);
        memcpy(page_of(at - within)->bytes + within, (uint8_t *)dst + done, n);
        done += n;
    }
    return rc;
}

static int by_address(const void *a, const void *b) {
    const struct kept_page *x = a, *y = b;
    return x->address < y->address ? -1 : x->address > y->address;
}

/* Of what was searched only that by which the interpreter was known is read again. */
int __wrap_python_identify_unseen(const struct python_object *o, struct lang_process *lp, struct err *err) {
    uint8_t table[PYTHON_DEBUG_OFFSETS_BYTES];
    uint64_t interpreter = 0, thread = 0, self = 0;
    struct target *t = lp->target;
    pages.off = true;
    int rc = __real_python_identify_unseen(o, lp, err);
    pages.off = false;
    if (rc < 0)
        return rc;
    const struct python_layout *l = &lp->layout;
    if (l->minor >= 13)
        target_read(t, lp->runtime, table, sizeof(table));
    if (target_read(t, lp->interpreters, &interpreter, 8) < 0 ||
        target_read(t, interpreter + l->interpreter_threads, &thread, 8) < 0 ||
        target_read(t, thread + l->thread_id, &self, 8) < 0 || target_read(t, self, &self, 8) < 0)
        return err_set(err, -EFAULT, NULL, "the interpreter cannot be read");
    return 0;
}

/* ---- reading as a dump does ---- */

static void walk_thread(struct lang_process *lp, const struct lang *lang, struct profile *p, struct target *t,
                        pid_t tid) {
    static struct walk_stack stack;
    if (!core_thread_walk(lp, lang, p, t, tid, &stack))
        return;
    char name[64];
    lang->thread_name(lp, (u32)tid, name, sizeof(name));
}

static int read_all(struct target *t, const pid_t *tids, size_t n, struct err *err) {
    struct lang_process *lp;
    enum lang_id id;
    struct profile *p = profile_new();
    int rc = p ? lang_attach(t, &id, &lp, err) : err_nomem(err);
    if (rc < 0)
        return rc == -ENOENT ? err_set(err, rc, NULL, "no runtime was found in memory") : rc;
    for (size_t i = 0; i < n; i++)
        walk_thread(lp, langs[id], p, t, tids[i]);
    langs[id]->detach(lp);
    profile_free(p);
    size_t count;
    const struct target_mapping *all = target_mappings(t, &count);
    for (size_t i = 0; i < count; i++) { /* by these pages a core's files are told from others of the same name */
        char head[64];
        if (all[i].path[0] == '/' && all[i].offset == 0)
            target_read(t, all[i].start, head, sizeof(head));
    }
    return 0;
}

/* ---- writing ---- */

static void add_note(struct buf *b, uint32_t type, const void *data, size_t size) {
    Elf64_Nhdr head = {.n_namesz = 5, .n_descsz = (Elf64_Word)size, .n_type = type};
    buf_add(b, &head, sizeof(head));
    buf_add(b, "CORE\0\0\0", 8);
    buf_add(b, data, size);
    buf_add(b, "\0\0\0", -size & 3);
}

static void add_thread(struct buf *b, struct target *t, pid_t tid) {
    struct target_registers r;
    struct elf_prstatus status = {.pr_pid = tid};
    if (target_thread_registers(t, tid, &r, NULL) < 0)
        return;
    const uint64_t *v = r.value;
    struct user_regs_struct u = {
        .rax = v[0],
        .rdx = v[1],
        .rcx = v[2],
        .rbx = v[3],
        .rsi = v[4],
        .rdi = v[5],
        .rbp = v[6],
        .rsp = v[7],
        .r8 = v[8],
        .r9 = v[9],
        .r10 = v[10],
        .r11 = v[11],
        .r12 = v[12],
        .r13 = v[13],
        .r14 = v[14],
        .r15 = v[15],
        .rip = v[16],
        .fs_base = r.tls_base,
        .orig_rax = r.in_syscall ? 0 : UINT64_MAX,
    };
    memcpy(&status.pr_reg, &u, sizeof(u));
    add_note(b, NT_PRSTATUS, &status, sizeof(status));
}

static void add_files(struct buf *b, struct target *t) {
    _cleanup_(buf_free) struct buf ranges = {0}, names = {0};
    size_t n;
    const struct target_mapping *all = target_mappings(t, &n);
    uint64_t head[2] = {0, PAGE_BYTES};
    for (size_t i = 0; i < n; i++) {
        const struct target_mapping *m = &all[i];
        if (m->path[0] != '/')
            continue;
        buf_add(&ranges, (uint64_t[]){m->start, m->end, m->offset / PAGE_BYTES}, 24);
        buf_add(&names, m->path, strlen(m->path) + 1);
        head[0]++;
    }
    _cleanup_(buf_free) struct buf note = {0};
    buf_add(&note, head, sizeof(head));
    buf_add(&note, ranges.data, ranges.len);
    buf_add(&note, names.data, names.len);
    add_note(b, NT_FILE, note.data, note.len);
}

static void add_notes(struct buf *b, struct target *t, const pid_t *tids, size_t n) {
    _cleanup_(buf_free) struct buf auxv = {0};
    struct elf_prpsinfo info = {.pr_sname = 'S', .pr_pid = target_pid(t)};
    memcpy(info.pr_fname, "python", 7);
    memcpy(info.pr_psargs, "python python_oracle.py", 24);
    add_thread(b, t, target_pid(t));
    add_note(b, NT_PRPSINFO, &info, sizeof(info));
    if (proc_read(t->proc_fd, "auxv", &auxv) == 0)
        add_note(b, NT_AUXV, auxv.data, auxv.len);
    add_files(b, t);
    for (size_t i = 0; i < n; i++)
        if (tids[i] != target_pid(t))
            add_thread(b, t, tids[i]);
}

static void add_header(struct buf *b, const struct target_mapping *m, uint64_t start, uint64_t end, bool kept,
                       uint64_t offset) {
    Elf64_Phdr h = {.p_type = PT_LOAD,
                    .p_flags = (m->protection & PROT_READ ? PF_R : 0u) | (m->protection & PROT_WRITE ? PF_W : 0u) |
                               (m->protection & PROT_EXEC ? PF_X : 0u),
                    .p_offset = offset,
                    .p_vaddr = start,
                    .p_filesz = kept ? end - start : 0,
                    .p_memsz = end - start,
                    .p_align = PAGE_BYTES};
    buf_add(b, &h, sizeof(h));
}

/* One segment for each run of pages that are kept, or are not. Offsets count from the first page's. */
static void add_mapping(struct buf *headers, struct buf *bytes, const struct target_mapping *m, size_t *i) {
    for (uint64_t at = m->start; at < m->end;) {
        while (*i < pages.count && pages.all[*i].address < at)
            (*i)++;
        uint64_t end = *i < pages.count ? MIN(m->end, pages.all[*i].address) : m->end, offset = bytes->len;
        bool kept = end == at;
        for (; kept && end < m->end && *i < pages.count && pages.all[*i].address == end; (*i)++, end += PAGE_BYTES)
            buf_add(bytes, pages.all[*i].bytes, PAGE_BYTES);
        add_header(headers, m, at, end, kept, offset);
        at = end;
    }
}

static int write_core(struct target *t, const pid_t *tids, size_t n, const char *path, struct err *err) {
    _cleanup_(buf_free) struct buf notes = {0}, headers = {0}, bytes = {0}, out = {0};
    size_t count, next = 0;
    const struct target_mapping *all = target_mappings(t, &count);
    qsort(pages.all, pages.count, sizeof(*pages.all), by_address);
    add_notes(&notes, t, tids, n);
    for (size_t i = 0; i < count; i++)
        if (all[i].start < 1ull << 63 && all[i].protection)
            add_mapping(&headers, &bytes, &all[i], &next);
    size_t segments = headers.len / sizeof(Elf64_Phdr);
    Elf64_Ehdr h = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                    .e_type = ET_CORE,
                    .e_machine = EM_X86_64,
                    .e_version = EV_CURRENT,
                    .e_phoff = sizeof(h),
                    .e_ehsize = sizeof(h),
                    .e_phentsize = sizeof(Elf64_Phdr),
                    .e_phnum = (Elf64_Half)(segments + 1)};
    Elf64_Phdr note = {.p_type = PT_NOTE, .p_offset = sizeof(h) + (segments + 1) * sizeof(note), .p_filesz = notes.len};
    uint64_t base = (note.p_offset + notes.len + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1ull);
    if (segments >= PN_XNUM - 1)
        return err_set(err, -E2BIG, NULL, "there are too many pieces");
    for (size_t i = 0; i < segments; i++)
        ((Elf64_Phdr *)(void *)headers.data)[i].p_offset += base;
    buf_add(&out, &h, sizeof(h));
    buf_add(&out, &note, sizeof(note));
    buf_add(&out, headers.data, headers.len);
    buf_add(&out, notes.data, notes.len);
    while (out.len < base)
        buf_addc(&out, '\0');
    buf_add(&out, bytes.data, bytes.len);
    fprintf(stderr, "%zu pages in %zu segments, %zu threads\n", pages.count, segments, n);
    FILE *f = fopen(path, "w");
    bool good = f && fwrite(out.data, 1, out.len, f) == out.len;
    if ((f && fclose(f) != 0) || !good || out.failed)
        return err_set(err, -EIO, NULL, "%s cannot be written", path);
    return 0;
}

int main(int argc, char **argv) {
    struct target *t = NULL;
    struct err err = {0};
    pid_t *tids = NULL;
    size_t n = 0;
    if (argc != 3)
        return 2;
    int rc = target_open(atoi(argv[1]), &t, &err);
    rc = rc == 0 ? target_stop(t, &err) : rc;
    rc = rc == 0 ? target_threads(t, &tids, &n) : rc;
    rc = rc == 0 ? read_all(t, tids, n, &err) : rc;
    rc = rc == 0 ? write_core(t, tids, n, argv[2], &err) : rc;
    if (rc < 0)
        fprintf(stderr, "%d: %s\n", rc, err.text);
    free(tids);
    free(pages.all);
    u64_map_free(&pages.by_address);
    target_close(t);
    return rc < 0;
}
