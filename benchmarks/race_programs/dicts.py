"""Dicts: words counted, and a cache that forgets what was used least recently."""

WORDS = [
    "it",
    "was",
    "the",
    "best",
    "of",
    "times",
    "it",
    "was",
    "the",
    "worst",
    "of",
    "times",
    "it",
    "was",
    "the",
    "age",
    "of",
    "wisdom",
    "it",
    "was",
    "the",
    "age",
    "of",
    "foolishness",
    "it",
    "was",
    "the",
    "epoch",
    "of",
    "belief",
    "it",
    "was",
    "the",
    "season",
    "of",
    "light",
]


def count(words: list[str], steps: int) -> tuple[dict[str, int], dict[tuple[str, int], int]]:
    total: dict[str, int] = {}
    places: dict[tuple[str, int], int] = {}
    for i in range(steps):
        word = words[i % len(words)]
        if word in total:
            total[word] += 1
        else:
            total[word] = 1
        place = (word, i & 7)
        if place not in places:
            places[place] = i
        else:
            places[place] = places[place] + 1
    return total, places


def use_cache(steps: int, capacity: int) -> int:
    cache: dict[int, int] = {}
    hits = 0
    number = 54321
    for i in range(steps):
        number = (number * 1103515245 + 12345) & 0x7FFFFFFF
        key = (number >> 8) % 400
        value = cache.get(key)
        if value is None:
            if len(cache) >= capacity:
                oldest = next(iter(cache))
                del cache[oldest]
            cache[key] = i
        else:
            hits += 1
            del cache[key]
            cache[key] = value
    return hits


def main() -> object:
    total, places = count(WORDS, 70_000)
    return total["was"], len(places), use_cache(70_000, 256)
