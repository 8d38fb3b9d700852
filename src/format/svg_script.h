/* What makes the flame graph picture answer to mouse and keyboard: svg_script.js, embedded at build time.
 * May use: nothing.
 * Must not: be changed by hand. */
#pragma once

extern const char svg_script[]; /* ends with a NUL; has no "]]>" */
