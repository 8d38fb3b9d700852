/* Writes made-up profiles as pages, for the viewer's tests: fixture KIND PAGE.html SAMPLES.txt
 *
 * Kinds: demo (a service: Python over C over the kernel), hostile (names that attack the page),
 * deep (recursion of 5,000), big (N nodes: "big:1000000"), empty, bare (no times, no quality).
 *
 * SAMPLES.txt holds the same samples as plain lines, from which a test computes what the page must
 * show without any of the viewer's code: thread, time in ns, values, then frames root first as
 * kind, flags, line, name; fields are separated by tabs, frames by a form feed. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "format/format.h"

extern const struct format format_html;

static uint64_t seed = 42;

static uint64_t draw(uint64_t below) {
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (seed >> 33) % below;
}

static frame_id frame(struct profile *p, const char *kind, const char *name, const char *file, uint32_t start,
                      uint32_t line, uint32_t flags, const char *module) {
    function_id f =
        profile_function(p, &(struct profile_function){
                                .name = profile_string(p, name), .file = profile_string(p, file), .start_line = start});
    mapping_id m = profile_mapping(p, &(struct profile_mapping){.file = profile_string(p, module)});
    return profile_frame(p, &(struct profile_frame){.function = f,
                                                    .line = line,
                                                    .kind = profile_string(p, kind),
                                                    .flags = flags,
                                                    .mapping = m,
                                                    .address = 0x400000 + draw(1 << 20)});
}

static stack_id push(struct profile *p, stack_id s, const char *kind, const char *name, const char *file,
                     uint32_t start, uint32_t line, uint32_t flags, const char *module) {
    return profile_stack(p, s, frame(p, kind, name, file, start, line, flags, module));
}

static stack_id python(struct profile *p, stack_id s, const char *name, const char *file, uint32_t start,
                       uint32_t line) {
    s = push(p, s, "native", "_PyEval_EvalFrameDefault", "Python/ceval.c", 0, 0, FRAME_INTERNAL, "/usr/bin/python3.12");
    return push(p, s, "python", name, file, start, line, 0, "");
}

static stack_id native(struct profile *p, stack_id s, const char *name, const char *module, uint32_t flags) {
    return push(p, s, "native", name, "", 0, 0, flags, module);
}

static stack_id kernel(struct profile *p, stack_id s, const char *const *names) {
    for (; *names; names++)
        s = push(p, s, "kernel", *names, "", 0, 0, 0, "[kernel]");
    return s;
}

static const char *const read_path[] = {"entry_SYSCALL_64_after_hwframe",
                                        "do_syscall_64",
                                        "ksys_read",
                                        "vfs_read",
                                        "sock_read_iter",
                                        "tcp_recvmsg",
                                        "_copy_to_iter",
                                        NULL};
static const char *const write_path[] = {"entry_SYSCALL_64_after_hwframe",
                                         "do_syscall_64",
                                         "ksys_write",
                                         "vfs_write",
                                         "sock_write_iter",
                                         "tcp_sendmsg",
                                         NULL};
static const char *const fault_path[] = {"asm_exc_page_fault", "exc_page_fault", "handle_mm_fault", "clear_page_erms",
                                         NULL};

static const char libc[] = "/usr/lib/x86_64-linux-gnu/libc.so.6";
static const char libz[] = "/usr/lib/x86_64-linux-gnu/libz.so.1.3.1";
static const char json_so[] = "/usr/lib/python3.12/lib-dynload/_json.cpython-312-x86_64-linux-gnu.so";
static const char server[] = "/srv/shop/app/server.py";
static const char views[] = "/srv/shop/app/views.py";
static const char prices[] = "/srv/shop/app/prices.py";

static stack_id thread_start(struct profile *p) {
    stack_id s = native(p, 0, "clone3", libc, 0);
    return native(p, s, "start_thread", libc, 0);
}

static stack_id request(struct profile *p) {
    stack_id s = thread_start(p);
    s = push(p, s, "native", "thread_run", "Modules/_threadmodule.c", 0, 0, FRAME_INTERNAL, "/usr/bin/python3.12");
    s = python(p, s, "Thread._bootstrap", "/usr/lib/python3.12/threading.py", 1018, 1032);
    s = python(p, s, "Thread._bootstrap_inner", "/usr/lib/python3.12/threading.py", 1054, 1075);
    s = python(p, s, "Server.worker", server, 41, 44 + (uint32_t)draw(3));
    return python(p, s, "Server.handle", server, 60, 63 + (uint32_t)draw(9));
}

static stack_id in_json(struct profile *p) {
    stack_id s = python(p, request(p), "render_catalogue", views, 12, 19 + (uint32_t)draw(2));
    s = python(p, s, "JSONEncoder.encode", "/usr/lib/python3.12/json/encoder.py", 183, 200);
    s = native(p, s, "encoder_call", json_so, 0);
    uint64_t depth = 1 + draw(4);
    for (uint64_t i = 0; i < depth; i++) {
        s = native(p, s, "encoder_listencode_dict", json_so, 0);
        s = native(p, s, "encoder_listencode_obj", json_so, 0);
    }
    switch (draw(4)) {
    case 0:
        return native(p, s, "py_encode_basestring_ascii", json_so, 0);
    case 1:
        return native(p, native(p, s, "ascii_escape_unicode", json_so, FRAME_INLINED), "__memcpy_avx_unaligned_erms",
                      libc, 0);
    case 2:
        return kernel(p, native(p, s, "_PyAccu_Accumulate", "/usr/bin/python3.12", 0), fault_path);
    default:
        return s;
    }
}

static stack_id in_prices(struct profile *p) {
    stack_id s = python(p, request(p), "Basket.total", prices, 88, 91 + (uint32_t)draw(5));
    s = python(p, s, "Basket.total.<locals>.<genexpr>", prices, 92, 92 + (uint32_t)draw(2));
    if (draw(3))
        s = python(p, s, "Price.with_tax", prices, 30, 31 + (uint32_t)draw(6));
    if (draw(5) == 0)
        s = python(p, s, "round_half_even", prices, 9, 11);
    return s;
}

static stack_id in_zlib(struct profile *p) {
    stack_id s = python(p, request(p), "compress_body", views, 51, 54);
    s = native(p, s, "zlib_compress", "/usr/lib/python3.12/lib-dynload/zlib.so", 0);
    s = native(p, s, "deflate", libz, 0);
    s = native(p, s, "deflate_slow", libz, FRAME_APPROXIMATE);
    return draw(4) ? native(p, s, "longest_match", libz, FRAME_APPROXIMATE)
                   : push(p, s, "native", "[libz.so.1.3.1+0x4f3a]", "", 0, 0, FRAME_UNNAMED, libz);
}

static stack_id in_worker(struct profile *p) {
    stack_id s = native(p, thread_start(p), "worker_main", "/srv/shop/bin/indexer", 0);
    s = push(p, s, "native", "std::sort<std::vector<Item>::iterator, by_price>(…)",
             "/usr/include/c++/12/bits/stl_algo.h", 4824, 4830, FRAME_INLINED, "/srv/shop/bin/indexer");
    uint64_t depth = 1 + draw(9);
    for (uint64_t i = 0; i < depth; i++)
        s = push(p, s, "native", "std::__introsort_loop<…>", "/usr/include/c++/12/bits/stl_algo.h", 1935,
                 1949 + (uint32_t)draw(2), 0, "/srv/shop/bin/indexer");
    return draw(2) ? push(p, s, "native", "by_price::operator()", "/srv/shop/src/index.cc", 20, 22, FRAME_INLINED,
                          "/srv/shop/bin/indexer")
                   : s;
}

static stack_id cut_stack(struct profile *p) {
    stack_id s = push(p, 0, "native", "[stack cut: no call-frame information]", "", 0, 0, FRAME_MARK, "");
    return native(p, s, "jit_region", "", FRAME_UNNAMED);
}

static stack_id demo_stack(struct profile *p, uint64_t time_ns, unsigned *thread) {
    uint64_t roll = draw(1000);
    bool busy = time_ns > 4000000000 && time_ns < 5200000000;
    if (roll < 2)
        return cut_stack(p);
    if (roll < 330) {
        *thread = 4;
        return in_worker(p);
    }
    if (roll < (busy ? 900u : 560u))
        return in_json(p);
    if (roll < 760)
        return in_prices(p);
    if (roll < 900)
        return in_zlib(p);
    if (roll < 950)
        return kernel(p, native(p, python(p, request(p), "read_request", server, 80, 84), "__libc_recv", libc, 0),
                      read_path);
    return kernel(p, native(p, python(p, request(p), "send_response", server, 90, 97), "__libc_send", libc, 0),
                  write_path);
}

static void head(struct profile *p, const char *command) {
    profile_value_type(p, "samples", "count");
    profile_value_type(p, "cpu", "nanoseconds");
    p->default_value = 1;
    p->command = profile_string(p, command);
    p->host = profile_string(p, "shop-3");
    p->start_time_ns = 1764000000ull * 1000000000;
    p->duration_ns = 10000000000;
    p->period_ns = 10101010;
}

static void add(struct profile *p, stack_id s, thread_id t, uint64_t time_ns) {
    int64_t cpu = 10101010 + (int64_t)draw(400000) - 200000;
    profile_add_sample(p, &(struct profile_sample){.stack = s, .thread = t, .time_ns = time_ns}, (int64_t[]){1, cpu});
    p->quality.samples_taken++;
    for (stack_id at = s; at; at = p->stacks[at].parent)
        p->quality.frames++;
}

static thread_id thread(struct profile *p, uint32_t pid, uint32_t tid, const char *process, const char *name,
                        const char *runtime) {
    return profile_thread(p, &(struct profile_thread){.pid = pid,
                                                      .tid = tid,
                                                      .process_name = profile_string(p, process),
                                                      .thread_name = profile_string(p, name),
                                                      .runtime = profile_string(p, runtime)});
}

static void demo(struct profile *p) {
    head(p, "python3 -m shop.server --port 8080");
    thread_id threads[5];
    for (uint32_t i = 0; i < 4; i++) {
        char name[32];
        snprintf(name, sizeof(name), "worker-%u", i);
        threads[i] = thread(p, 4711, 4712 + i, "python3", name, "python 3.12.7");
    }
    threads[4] = thread(p, 4801, 4801, "indexer", "indexer", "");
    for (uint64_t i = 0; i < 6000; i++) {
        uint64_t time = i * 1666666 + draw(1000000);
        if (time > 7000000000 && time < 7800000000 && draw(5))
            continue;
        unsigned t = (unsigned)draw(4);
        stack_id s = demo_stack(p, time, &t);
        add(p, s, threads[t], time);
    }
    struct profile_quality *q = &p->quality;
    q->samples_lost = 3;
    profile_count_truncated(p, "no call-frame information", 11);
    q->stacks_whole = q->samples_taken - 11;
    q->frames_unnamed = 160;
    q->frames_approximate = 900;
    q->self_cpu_ns = 31000000;
    q->self_rss_bytes = 38 << 20;
    q->self_map_bytes = 9 << 20;
    q->probe_ns = 42000000;
    q->probe_runs = q->samples_taken;
    q->slowdown_bound = 0.0021;
    profile_note(p,
                 "libz.so.1.3.1 has no call-frame information in one section: its frames were found by frame pointer");
}

static void hostile(struct profile *p) {
    head(p, "</title><script>window.hacked=1</script> & \"quotes\" '");
    static char long_name[5001];
    memset(long_name, 'x', 5000);
    const char *const names[] = {
        "</script><script>window.hacked=1</script>",
        "<img src=x onerror=window.hacked=1>",
        "<!--scry:profile-->",
        "\"double\" 'single' `back` ${dollar} $& $1",
        "emoji \U0001F525\U0001F469\u200d\U0001F680 name",
        "\u05e9\u05dc\u05d5\u05dd \u202e reversed",
        "line\nbreak\ttab\x01\x7f",
        "invalid \xff\xfe\xc0\x80 utf-8",
        "__proto__",
        "constructor",
        "(?:[regex*+",
        "&lt;entity&gt; &amp;",
        long_name,
    };
    thread_id t = thread(p, 1, 1, "</script>", "<b>\U0001F525", "\"><script>window.hacked=1</script>");
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        stack_id s = push(p, 0, names[i], "main", names[i], 1, 2, 0, names[i]);
        s = push(p, s, "native", names[i], names[i], 1, 3, 0, "");
        for (size_t k = 0; k < 20; k++)
            add(p, s, t, i * 700000000 + k);
    }
    p->quality.stacks_whole = p->quality.samples_taken;
    profile_count_truncated(p, "</script><script>window.hacked=1</script>", 0);
    profile_note(p, "<img src=x onerror=window.hacked=1>");
}

static void deep(struct profile *p) {
    head(p, "fib 5000");
    thread_id t = thread(p, 7, 7, "fib", "fib", "python 3.12.7");
    stack_id s = native(p, 0, "_start", "/usr/bin/python3.12", 0);
    for (uint32_t i = 0; i < 5000; i++) {
        s = python(p, s, "descend", "/srv/fib.py", 1, 2 + i % 3);
        if (i % 500 == 499 || i == 4999)
            for (unsigned k = 0; k < 100; k++)
                add(p, push(p, s, "python", k % 2 ? "even" : "odd", "/srv/fib.py", 10, 11, 0, ""), t,
                    draw(2000000000) * 5);
    }
    p->quality.stacks_whole = p->quality.samples_taken;
    p->quality.slowdown_bound = 0.001;
}

static void big(struct profile *p, size_t nodes) {
    head(p, "big");
    thread_id t = thread(p, 9, 9, "big", "big", "");
    frame_id frames[4000];
    for (size_t i = 0; i < ARRAY_SIZE(frames); i++) {
        char name[64];
        snprintf(name, sizeof(name), "package_%zu::function_%zu", i % 37, i);
        frames[i] =
            frame(p, i % 3 ? "native" : "python", name, "/src/big.c", (uint32_t)i, (uint32_t)i + 1, 0, "/bin/big");
    }
    size_t n = p->n_stacks;
    while (p->n_stacks - n < nodes) {
        stack_id s = 0;
        uint64_t depth = 10 + draw(40);
        for (uint64_t d = 0; d < depth; d++) {
            uint64_t wide = d < 4 ? 3 : d < 10 ? 6 : 12;
            s = profile_stack(p, s, frames[(d * 131 + draw(wide) * draw(wide)) % ARRAY_SIZE(frames)]);
        }
        add(p, s, t, draw(2000000000) * 5);
    }
    p->quality.stacks_whole = p->quality.samples_taken;
}

static void bare(struct profile *p) {
    profile_value_type(p, "alloc_space", "bytes");
    stack_id main_ = push(p, 0, "go", "main.main", "/src/main.go", 3, 5, 0, "");
    stack_id leaf = push(p, main_, "rust", "core::alloc", "", 0, 0, 0, "");
    profile_add_sample(p, &(struct profile_sample){.stack = leaf}, (int64_t[]){3 << 20});
    profile_add_sample(p, &(struct profile_sample){.stack = main_}, (int64_t[]){1 << 20});
    profile_add_sample(p, &(struct profile_sample){.stack = main_}, (int64_t[]){-5});
}

static void write_stack(const struct profile *p, FILE *f, stack_id s) {
    stack_id path[8192];
    size_t n = 0;
    for (; s && n < ARRAY_SIZE(path); s = p->stacks[s].parent)
        path[n++] = s;
    while (n-- > 0) {
        const struct profile_frame *fr = &p->frames[p->stacks[path[n]].frame];
        fprintf(f, "%s\t%u\t%u\t%s%s", p->strings[fr->kind], fr->flags, fr->line,
                p->strings[p->functions[fr->function].name], n ? "\f" : "");
    }
}

static bool write_samples(const struct profile *p, const char *path) {
    FILE *f = fopen(path, "w");
    if (!f)
        return false;
    for (size_t i = 0; i < p->n_samples; i++) {
        const struct profile_sample *s = &p->samples[i];
        fprintf(f, "%u\t%" PRIu64 "\t", s->thread, s->time_ns);
        for (unsigned v = 0; v < p->n_value_types; v++)
            fprintf(f, "%" PRId64 "%s", profile_value(p, i, v), v + 1 < p->n_value_types ? "," : "\f");
        write_stack(p, f, s->stack);
        fputs("\f\n", f);
    }
    return fclose(f) == 0;
}

static void fill(struct profile *p, const char *kind) {
    if (strcmp(kind, "demo") == 0)
        demo(p);
    else if (strcmp(kind, "hostile") == 0)
        hostile(p);
    else if (strcmp(kind, "deep") == 0)
        deep(p);
    else if (strcmp(kind, "bare") == 0)
        bare(p);
    else if (strncmp(kind, "big:", 4) == 0)
        big(p, strtoul(kind + 4, NULL, 10));
    else
        head(p, "nothing");
}

int main(int argc, char **argv) {
    if (argc < 3) {
        fprintf(stderr, "usage: fixture KIND PAGE.html [SAMPLES.txt]\n");
        return 2;
    }
    struct err err = {0};
    _cleanup_(profile_freep) struct profile *p = profile_new();
    _cleanup_(buf_free) struct buf page = {0};
    if (!p)
        return 1;
    fill(p, argv[1]);
    if (format_html.write(p, &(struct format_options){0}, &page, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    FILE *f = fopen(argv[2], "wb");
    if (!f || fwrite(page.data, 1, page.len, f) != page.len || fclose(f) != 0)
        return 1;
    return argc > 3 && !write_samples(p, argv[3]);
}
