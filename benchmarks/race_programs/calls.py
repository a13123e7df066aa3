"""Calls: recursion, methods, a closure."""

from collections.abc import Callable


def fibonacci(n: int) -> int:
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


def ackermann(m: int, n: int) -> int:
    if m == 0:
        return n + 1
    if n == 0:
        return ackermann(m - 1, 1)
    return ackermann(m - 1, ackermann(m, n - 1))


class Sum:
    def __init__(self) -> None:
        self.value = 0

    def add(self, number: int) -> "Sum":
        self.value = self.value + number
        return self

    def get(self) -> int:
        return self.value


def make_counter() -> Callable[[int], int]:
    total = 0

    def count(by: int) -> int:
        nonlocal total
        total += by
        return total

    return count


def main() -> object:
    total, count = Sum(), make_counter()
    for i in range(40_000):
        total.add(i).get()
        count(1)
    return fibonacci(20), ackermann(2, 50), total.get(), count(0)
