import threadproof


class Registry:
    def __init__(self):
        self.items = threadproof.HashMap()
        self.plain = {}

    def save(self):
        first = dict(self.items)  # want "copied key by key"
        second = {"version": 1, **self.items}  # want "copied key by key"
        return first, second, dict(self.items.snapshot()), dict(self.plain)


def show(m: "threadproof.ConcurrentMap[str, int]"):
    return dict(m)  # want "m is copied key by key"
