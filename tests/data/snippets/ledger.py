"""A ledger: entries with a date and an amount, and sums over them."""

import csv
from dataclasses import dataclass, field


@dataclass
class Entry:
    day: str
    amount: float
    note: str = ""

    def is_income(self) -> bool:
        return self.amount > 0


@dataclass
class Ledger:
    entries: list[Entry] = field(default_factory=list)

    @classmethod
    def read(cls, path):
        ledger = cls()
        with open(path, newline="") as file:
            for row in csv.DictReader(file):
                try:
                    amount = float(row["amount"])
                except (KeyError, ValueError) as error:
                    raise SystemExit(f"{path}: bad row {row!r}: {error}")
                ledger.add(Entry(row["day"], amount, row.get("note", "")))
        return ledger

    def add(self, entry):
        if not entry.day:
            raise ValueError("an entry has a day")
        self.entries.append(entry)

    def total(self, month=None):
        total = 0.0
        for entry in self.entries:
            if month is None or entry.day.startswith(month):
                total += entry.amount
        return total

    def by_month(self):
        sums = {}
        for entry in self.entries:
            month = entry.day[:7]  # "2024-05"
            sums[month] = sums.get(month, 0.0) + entry.amount
        return [(month, sums[month]) for month in sorted(sums)]


def report(ledger, width=40):
    for month, amount in ledger.by_month():
        bar = "#" * min(width, int(abs(amount) / 100))
        print(f"{month}  {amount:>10.2f}  {bar}")
    print("total", round(ledger.total(), 2), sep=": ")
