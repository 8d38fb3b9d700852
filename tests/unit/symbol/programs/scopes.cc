// What a scope ends with must not reach beyond it, and functions lie in functions.
#include <cstdio>
#include <string>

volatile int sink;

template <int n> static inline __attribute__((always_inline)) int down(int x) {
    if constexpr (n == 0) {
        sink = x;
        return x;
    } else {
        return down<n - 1>(x + n) + sink;
    }
}

namespace outside {
namespace {
struct hidden {
    int price, count;
    __attribute__((noinline)) int run(int x);
    static inline __attribute__((always_inline)) int once(int x) {
        sink = x;
        return sink + 1;
    }
};
__attribute__((noinline)) int hidden::run(int x) {
    return once(x) + price;
}
} // namespace
__attribute__((noinline)) int go(int x) {
    hidden h{x, 1};
    auto add = [&](int k) __attribute__((noinline)) {
        return hidden::once(k) + h.run(k);
    };
    return add(x) + add(x + 1);
}
} // namespace outside

extern "C" __attribute__((noinline)) int plain_c(int x) {
    return down<80>(x);
}

int main(int argc, char **argv) {
    std::string s(argv[0]);
    printf("%d %d\n", outside::go((int)s.size()), plain_c(argc));
}
