#include "parts.h"

namespace outer {

enum class Kind { small, large };

static INLINED Kind kind_of(int x) {
    return blend(x, 2) > 10 ? Kind::large : Kind::small;
}

} // namespace outer

int second(int x) {
    outer::inner::Box box{x};
    return box.area(x) + outer::blend(x, x) + (outer::kind_of(x) == outer::Kind::large);
}

__attribute__((cold)) int unlikely_second(int x) {
    return outer::inner::Box{x}.area(3) + (int)outer::blend(1.5 * x, 2.5);
}
