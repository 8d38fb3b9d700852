/* Two units share this: calls are inlined across files and namespaces, and have their places here and there. */
#pragma once

#define INLINED __attribute__((always_inline)) inline

namespace outer {
namespace inner {

struct Box {
    int side;
    INLINED int area(int times) const {
        int sum = 0;
        for (int i = 0; i < times; i++)
            sum += i * side;
        return sum;
    }
    int grow(int by);
};

} // namespace inner

template <class T> INLINED T blend(T a, T b) {
    volatile T product = a * b;
    return product + a;
}

} // namespace outer

extern volatile int sink;
int second(int x);
int unlikely_second(int x);
