#include "parts.h"

#include <cstdlib>

volatile int sink;

namespace {

struct Hidden {
    int scale;
    INLINED int apply(int x) const {
        return outer::blend(x, scale) + outer::inner::Box{scale}.area(x);
    }
    __attribute__((noinline)) int kept(int x) const {
        return apply(x) - apply(x + 1);
    }
};

} // namespace

int outer::inner::Box::grow(int by) {
    return area(by) + blend(by, side);
}

template <class T> __attribute__((noinline)) static T folded(T x) {
    auto one = [&](T y) { return outer::blend(y, x); };
    auto other = [one](T y) {
        if (y > 1000)
            std::abort();
        return one(y) - one(y + 1);
    };
    return one(x) + other(x + 2);
}

__attribute__((cold, noinline)) static int rarely(int x) {
    return outer::blend(x, 9);
}

/* Has a cold part, which lies apart: a function of several ranges. */
__attribute__((noinline)) int often(int x) {
    if (__builtin_expect(x > 100, 0)) {
        sink = rarely(x) + outer::blend(x, 3);
        std::abort();
    }
    return Hidden{x}.apply(x);
}

int main(int argc, char **) {
    outer::inner::Box box{argc};
    int sum = box.grow(argc) + Hidden{argc}.kept(argc) + folded(argc) + (int)folded(2.0 * argc);
    sink = sum + often(argc) + second(argc) + unlikely_second(argc);
    return 0;
}
