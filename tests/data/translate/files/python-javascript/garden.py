def beds(plants, size):
    return [plants[i : i + size] for i in range(0, len(plants), size)]


def garden_plan(plants, size):
    lines = [", ".join(bed) for bed in beds(plants, size)]
    return "\n".join(lines)
