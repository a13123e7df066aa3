"""A heap of objects whose attributes are all accessed: the memory that each watched variable takes."""


class Entry:
    def __init__(self, number: int) -> None:
        self.number = number
        self.name = str(number)
        self.price = number * 1.5
        self.parent: Entry | None = None
        self.visits = 0


kept: list[Entry] = []


def main() -> object:
    kept.clear()
    last = None
    for number in range(100_000):
        entry = Entry(number)
        entry.parent = last
        entry.visits += 1
        kept.append(entry)
        last = entry
    return len(kept)
