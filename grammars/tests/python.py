"""Prices of an order, with the discounts that apply to it."""
from __future__ import annotations
# <- import
# <- statement

import math
# <- import
from dataclasses import dataclass, field
# <- import

VAT = 0.21
# <- symbol
# <- statement
#^^ !name
# <- name


@dataclass
# <- statement ... return sum(line.price for line in self.lines)
class Order:
# <- symbol ... return sum(line.price for line in self.lines)
#     ^^^^^ name
    lines: list[Line] = field(default_factory=list)
    # <- block ... return sum(line.price for line in self.lines)
    # <- statement
    # <- symbol
    customer: str = "nobody"

    def total(self) -> float:
    # <- symbol ... return sum(line.price for line in self.lines)
    #   ^^^^^ name
        return sum(line.price for line in self.lines)
        # <- block
        # <- statement


def discount(order: Order, code: str | None = None) -> float:
# <- statement ... return math.floor(percent * 100) / 100
#                                  ^ !symbol
    percent = 0.0
    # <- block ... return math.floor(percent * 100) / 100
    # <- statement
    # <- !symbol
    if code is None:
    # <- statement ... percent += 1
        pass
        # <- block
        # <- statement
    elif code.startswith("x"):
        percent = {
        # <- block ... }[code]
        # <- statement ... }[code]
            "x1": 1.0,
            "x2": 2.0,
        }[code]
    else:
        percent += 1
        # <- block
        # <- statement
    for line in order.lines:
    # <- statement ... continue
        try:
        # <- block ... continue
        # <- statement ... continue
            percent += line.price / 100
            # <- block
        except (TypeError, ValueError) as error:
            print(f"skipped {error!r}")
            # <- block ... continue
            # <- statement
            continue
    match code:
    # <- statement ... percent *= 2
    #          ^ block ... percent *= 2
        case "half" | "double":
        # <- statement
            percent *= 2
            # <- block
            # <- statement
    with open("log") as log:
    # <- statement
        log.write("done")
    return math.floor(percent * 100) / 100
