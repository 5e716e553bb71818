from pathlib import Path


class Inventory:
    """What is in the store, by name."""

    def __init__(self, path):
        self.path = Path(path)
        self.items = {}

    def add(self, name, count=1):
        if count < 1:
            raise ValueError("nothing to add")
        self.items[name] = self.items.get(‸

    def remove(self, name):
        return self.items.pop(name, None)

    def names(self):
        return sorted(self.items)

    def total(self):
        return sum(self.items.values())
