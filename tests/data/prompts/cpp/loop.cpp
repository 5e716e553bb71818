#include <vector>

template <typename T>
T sum(const std::vector<T>& values) {
    T total{};
    for (const T& value : values) {
        ‸
    }
    return total;
}
