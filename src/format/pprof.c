/* pprof: profile.proto in gzip, the format of `go tool pprof` and most services. */
#include "format/pprof_write.h"

extern const struct format format_pprof;
const struct format format_pprof = {
    .name = "pprof",
    .ending = ".pb.gz",
    .title = "pprof, for go tool pprof and profiling services",
    .write = pprof_write,
    .recognise = pprof_recognise,
    .read = pprof_read,
};
