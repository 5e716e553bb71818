def width(lines):
    return max(len(line) for line in lines)


def pad(lines):
    ‸


print(pad(["a", "bc"]))
