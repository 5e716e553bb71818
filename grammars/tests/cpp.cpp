#include <string>
// <- import
using namespace std::literals;
// <- import
// <- statement

namespace shapes {
// <- statement ... }
//        ^^^^^^ name
//               ^ block ... }

template <typename T>
// <- statement ... };
class Box final : public Shape {
// <- symbol ... }
//    ^^^ name
//                             ^ block ... }
public:
    explicit Box(T side) : side_(side) {}
    // <- statement
    //       ^^^ name
    //                                 ^ block
    Box(const Box&) = delete;
    // <- statement
    virtual ~Box() = default;
    //      ^^^^ name
    double area() const override { return side_ * side_; }
    // <- symbol
    //     ^^^^ name
    //                             ^ statement
    bool operator==(const Box& other) const;
    // <- statement
    //   ^^^^^^^^^^ name

private:
    T side_{};
    // <- statement
    //^^^^^ name
};

using Name = std::string;
// <- symbol
//    ^^^^ name

double Box<int>::grow(double by) {
// <- statement ... }
//     ^^^^^^^^^^^^^^ name
//                               ^ block ... }
    auto twice = [&](double x) {
    // <- statement ... };
    //                         ^ block ... }
        return x * 2;
        // <- statement
    };
    for (const auto& corner : corners()) {
    // <- statement ... }
    //                                   ^ block ... }
        if (auto found = find(corner); found != nullptr) {
        // <- statement ... }
        //                                               ^ block ... }
            throw std::runtime_error("two"s);
            // <- statement
        }
    }
    try {
    // <- statement ... }
    //  ^ block ... }
        by += twice(by);
    } catch (const std::exception& error) {
    //                                    ^ block ... }
        by = 0;
        // <- statement
    }
    return by;
}

std::string& name_of(Box<int>& box) { static std::string name; return name; }
// <- symbol
//           ^^^^^^^ name
//                                    ^ statement

enum class Colour : int { Red, Blue };
// <- statement
//         ^^^^^^ name

}  // namespace shapes
