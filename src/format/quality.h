/* The quality block as JSON: {counts, "slowdown_bound", "truncated": [{"reason", "count"}], "notes": []}.
 * Private to format/.
 * May use: base/, model/.
 * Must not: judge. */
#pragma once

#include "base/json.h"
#include "model/profile.h"

/* As the member "quality" of the object that `j` is in. */
void quality_json(struct json *j, const struct profile *p);
