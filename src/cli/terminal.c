#include "cli/terminal.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

bool terminal_is(int fd) {
    return isatty(fd) == 1;
}

unsigned terminal_width(int fd) {
    enum { USUAL = 80, LEAST = 40, MOST = 10000 };
    struct winsize size;
    unsigned width = 0;
    if (ioctl(fd, TIOCGWINSZ, &size) == 0)
        width = size.ws_col;
    const char *columns = getenv("COLUMNS");
    if (width == 0 && columns)
        width = (unsigned)strtoul(columns, NULL, 10);
    if (width == 0 || width > MOST)
        width = USUAL;
    return MAX(width, LEAST);
}

/* Whether it understands more than letters. */
static bool is_smart(void) {
    const char *term = getenv("TERM");
    return term && term[0] && strcmp(term, "dumb") != 0;
}

struct terminal_styles terminal_styles(int fd) {
    const char *no = getenv("NO_COLOR");
    if (!terminal_is(fd) || (no && no[0]) || !is_smart())
        return (struct terminal_styles){"", "", "", "", "", ""};
    return (struct terminal_styles){.bold = "\033[1m",
                                    .dim = "\033[2m",
                                    .red = "\033[31m",
                                    .green = "\033[32m",
                                    .yellow = "\033[33m",
                                    .plain = "\033[0m"};
}

void terminal_progress(const char *text) {
    static bool shown;
    if (!terminal_is(STDERR_FILENO) || !is_smart() || (!text && !shown))
        return;
    fprintf(stderr, "\r\033[K%.*s", (int)terminal_width(STDERR_FILENO) - 1, text ? text : "");
    fflush(stderr);
    shown = text != NULL;
}
