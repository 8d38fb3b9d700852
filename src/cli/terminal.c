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

bool terminal_colour(int fd) {
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    return terminal_is(fd) && !(no && no[0]) && term && strcmp(term, "dumb") != 0;
}

const char *terminal_style(int fd, enum terminal_style style) {
    static const char *const sequences[] = {
        [STYLE_PLAIN] = "\033[0m",  [STYLE_BOLD] = "\033[1m",    [STYLE_DIM] = "\033[2m",   [STYLE_RED] = "\033[31m",
        [STYLE_GREEN] = "\033[32m", [STYLE_YELLOW] = "\033[33m", [STYLE_BLUE] = "\033[34m",
    };
    return terminal_colour(fd) ? sequences[style] : "";
}

void terminal_progress(const char *text) {
    static bool shown;
    if (!terminal_is(STDERR_FILENO) || (!text && !shown))
        return;
    fprintf(stderr, "\r\033[K%.*s", (int)terminal_width(STDERR_FILENO) - 1, text ? text : "");
    fflush(stderr);
    shown = text != NULL;
}
