#include <stddef.h>

#include "cli/options.h"

#define AT(field) .at = offsetof(struct options, field)
#define FOR(name) VERB_BIT(name)

enum { MILLISECOND = 1, SECOND = 1000 * MILLISECOND, DAY = 24 * 3600 * SECOND };

/* In the order of help: what to look at, how, what to show. */
const struct option_spec option_specs[] = {
    {.name = "pid", .letter = 'p', .type = OPTION_PIDS, AT(pids), .verbs = FOR(cpu) | FOR(dump) | FOR(ps),
     .argument = "PID", .least = 1, .most = 1u << 22,
     .help = "A running process. May be repeated, or be a list such as 12,34."},
    {.name = "all", .letter = 'a', .type = OPTION_FLAG, AT(all), .verbs = FOR(cpu), .help = "The whole host."},
    {.name = "all", .letter = 'a', .type = OPTION_FLAG, AT(all), .verbs = FOR(ps),
     .help = "Also kernel threads, and processes that nothing is known of."},
    {.name = "cgroup", .type = OPTION_DIRECTORY, AT(cgroup), .verbs = FOR(cpu), .argument = "PATH",
     .help = "The processes of a control group and of those below it: a path in /sys/fs/cgroup, or within it."},
    {.name = "core", .type = OPTION_FILE, AT(core), .verbs = FOR(dump), .argument = "FILE",
     .help = "A core file in place of a running process."},
    {.name = "sysroot", .type = OPTION_DIRECTORY, AT(sysroot), .verbs = FOR(dump), .argument = "DIR",
     .help = "Where the files of the core's machine are found, when they are not at / of this one."},
    {.name = "duration", .letter = 'd', .type = OPTION_DURATION, AT(duration_ns), .verbs = FOR(cpu), .argument = "TIME",
     .least = 10 * MILLISECOND, .most = 30ull * DAY,
     .help = "How long to capture: seconds, or a number with ms, s, m or h. Without it, until Ctrl-C or until the "
             "targets end."},
    {.name = "frequency", .letter = 'F', .type = OPTION_NUMBER, AT(frequency), .verbs = FOR(cpu), .argument = "HZ",
     .least = 1, .most = 20000, .fallback = "99",
     .help = "Samples per second and CPU, on average: the period is varied, so that no program falls in step with it."},
    {.name = "no-kernel", .type = OPTION_FLAG, AT(no_kernel), .verbs = FOR(cpu),
     .help = "Leave the kernel's frames out of the stacks."},
    {.name = "output", .letter = 'o', .type = OPTION_FILE, AT(output), .verbs = FOR(cpu), .argument = "FILE",
     .help = "Where to write the profile; the ending names the format."},
    {.name = "to", .letter = 't', .type = OPTION_STRING, AT(to), .verbs = FOR(convert), .argument = "FORMAT",
     .help = "The format to write, by its name or ending, whatever the ending of OUT says."},
    {.name = "json", .type = OPTION_FLAG, AT(json), .verbs = FOR(cpu) | FOR(dump) | FOR(ps) | FOR(report),
     .help = "Print JSON for programs in place of text for people."},
    {.name = "threads", .type = OPTION_FLAG, AT(threads), .verbs = FOR(cpu) | FOR(report) | FOR(convert),
     .help = "Keep threads apart: each is a frame at the root of its stacks."},
    {.name = "internal", .letter = 'i', .type = OPTION_FLAG, AT(internal),
     .verbs = FOR(cpu) | FOR(dump) | FOR(report) | FOR(convert),
     .help = "Show the frames of an interpreter's own machinery, which are folded otherwise."},
    {.name = "sort", .letter = 's', .type = OPTION_CHOICE, AT(sort), .verbs = FOR(report), .argument = "COLUMN",
     .choices = "self|total", .fallback = "self", .help = "Which column the table is ordered by: self or total."},
    {.name = "limit", .letter = 'n', .type = OPTION_NUMBER, AT(limit), .verbs = FOR(report), .argument = "ROWS",
     .least = 0, .most = 1000000, .fallback = "25", .help = "How many rows to print; 0 prints all."},
    {.name = "tree", .type = OPTION_FLAG, AT(tree), .verbs = FOR(report), .help = "Print the call tree from the root."},
    {.name = "callers", .type = OPTION_STRING, AT(callers), .verbs = FOR(report), .argument = "FUNCTION",
     .help = "Print who calls a function."},
    {.name = "callees", .type = OPTION_STRING, AT(callees), .verbs = FOR(report), .argument = "FUNCTION",
     .help = "Print what a function calls."},
    {.name = "min", .type = OPTION_PERCENT, AT(min_percent), .verbs = FOR(report), .argument = "PERCENT", .least = 0,
     .most = 100, .fallback = "0.5", .help = "Leave out branches of the tree below this share."},
    {.name = "value", .type = OPTION_STRING, AT(value), .verbs = FOR(report), .argument = "TYPE",
     .help = "Which of the profile's values to count, such as cpu or samples. Without it, the profile's own choice."},
    {.name = "quiet", .letter = 'q', .type = OPTION_FLAG, AT(quiet), .verbs = FOR(cpu),
     .help = "Print neither progress nor summary."},
    {.name = "verbose", .letter = 'v', .type = OPTION_FLAG, AT(verbose), .verbs = FOR(cpu) | FOR(dump) | FOR(ps),
     .help = "Say on the standard error what is being done."},
    {.name = "help", .letter = 'h', .type = OPTION_FLAG, AT(help), .verbs = VERB_ALL, .help = "Print this help."},
};
const size_t n_option_specs = ARRAY_SIZE(option_specs);
