// A vector in the plane.
#include <cmath>
#include <iostream>

struct Vector {
    double x;
    double y;

    Vector operator+(const Vector& other) const {
        return Vector{x + other.x, y + other.y};
    }

    Vector operator-(const Vector& other) const {
        return Vector{x - other.x, y - other.y};
    }

    double dot(const Vector& other) const {
        return x * other.x + y * other.y;
    }

    double length() const {
        return std::sqrt(x * x + y * y);
    }
};

int main() {
    Vector a{1.0, 2.0};
    Vector b{3.0, 4.0};
    std::cout << (a + b).length() << std::endl;
    std::cout << (a - b).length() << std::endl;
    return 0;
}
