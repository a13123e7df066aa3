import functools

names_cache = {}


class Client:
    @functools.lru_cache(maxsize=None)
    def fetch(self, key):  # want "keeps every object alive"
        return key

    @staticmethod
    @functools.lru_cache(maxsize=None)
    def parse(key):
        return key


def name(key):
    if key not in names_cache:
        names_cache[key] = key.upper()  # want "never loses one"
    return names_cache[key]
