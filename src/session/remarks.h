/* What is said of a capture besides its samples: what it was of, and why there are none. Private to session/.
 * May use: session/capture.h.
 * Must not: change anything but notes and texts. */
#pragma once

#include "session/capture.h"

/* At its beginning. */
void remarks_describe(struct capture *c);
/* At its end. */
void remarks_note(struct capture *c);
