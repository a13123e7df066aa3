"""Lists of numbers: primes, a product of matrices, the longest common subsequence."""


def primes(limit: int) -> int:
    prime = [True] * (limit + 1)
    prime[0] = prime[1] = False
    i = 2
    while i * i <= limit:
        if prime[i]:
            for multiple in range(i * i, limit + 1, i):
                prime[multiple] = False
        i += 1
    found = []
    for i in range(limit + 1):
        if prime[i]:
            found.append(i)  # noqa: PERF401
    return len(found)


def multiply(size: int) -> int:
    left = [[(i * j) % 7 for j in range(size)] for i in range(size)]
    right = [[(i + j) % 5 for j in range(size)] for i in range(size)]
    product = [[0] * size for _ in range(size)]
    for i in range(size):
        for j in range(size):
            for k in range(size):
                product[i][j] += left[i][k] * right[k][j]
    return product[size // 2][size // 3]


def common(one: str, other: str) -> int:
    best = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for i in range(len(one)):
        for j in range(len(other)):
            if one[i] == other[j]:
                best[i + 1][j + 1] = best[i][j] + 1
            else:
                above, left = best[i][j + 1], best[i + 1][j]
                best[i + 1][j + 1] = above if above > left else left
    return best[-1][-1]


def main() -> object:
    return primes(80_000), multiply(45), common("abcbdab" * 25, "bdcaba" * 25)
