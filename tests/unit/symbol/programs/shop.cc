/* C++ with inlining through several namespaces: templates, anonymous namespaces, lambdas, local classes. */
#include <algorithm>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>
namespace shop {
namespace {
struct item {
    std::string name;
    int price;
};
template <typename T> struct basket {
    std::vector<T> all;
    __attribute__((noinline)) basket();
    virtual ~basket() {
    }
    int total() const {
        int n = 0;
        for (auto &x : all)
            n += x.price;
        return n;
    }
    __attribute__((noinline)) void put(T x) {
        all.push_back(std::move(x));
    }
};
template <typename T> basket<T>::basket() {
    all.reserve(10);
}
} // namespace
class till {
  public:
    std::map<std::string, int> m;
    static int count;
    __attribute__((noinline)) int ring(const std::string &s, int n) {
        count++;
        auto f = [&](int k) { return m[s] += k; };
        int r = f(n);
        struct local {
            static __attribute__((noinline)) int twice(int x) {
                return x * 2 + till::count;
            }
        };
        return local::twice(r);
    }
};
int till::count;
__attribute__((noinline)) std::function<int(int)> maker(int k) {
    return [k](int x) {
        std::string s(x, 'a');
        return (int)s.size() * k;
    };
}
} // namespace shop
int main(int argc, char **argv) {
    shop::basket<shop::item> b;
    for (int i = 0; i < argc * 10; i++)
        b.put({std::to_string(i), i});
    shop::till t;
    int n = 0;
    for (auto &x : b.all)
        n += t.ring(x.name, x.price);
    std::sort(b.all.begin(), b.all.end(), [](auto &a, auto &c) { return a.name < c.name; });
    auto p = std::make_unique<shop::till>();
    n += p->ring("x", 2);
    printf("%d %d %d\n", b.total(), n, shop::maker(3)(argc));
}
