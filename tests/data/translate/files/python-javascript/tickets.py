import math


def fare(zones, age):
    if age < 6:
        return 0
    return math.ceil(zones * (1.5 if age < 18 else 2.5))


def family_fare(zones, ages):
    return min(20, sum(fare(zones, age) for age in ages))
