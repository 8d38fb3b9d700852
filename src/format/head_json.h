/* What every JSON of a profile tells before its tables: what was measured and how good the data is.
 * Private to format/.
 * May use: base/, model/, analyse/.
 * Must not: judge. Each function writes members of the object that `j` is in. */
#pragma once

#include "base/json.h"
#include "model/profile.h"

/* `key`: [{"type", "unit"}]. */
void value_types_json(struct json *j, const char *key, const struct profile *p);

/* "quality": {every count of format/quality.def, "slowdown_bound", "truncated", "notes"}. */
void quality_json(struct json *j, const struct profile *p);
