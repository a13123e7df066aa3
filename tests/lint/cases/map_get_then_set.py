from threadproof import HashMap


class Service:
    def __init__(self):
        self.sessions = HashMap()
        self.counts = HashMap[str, int]()
        self.plain = {}

    def session(self, key):
        if key not in self.sessions:
            self.sessions[key] = object()  # want "may have come between"
        if self.sessions.get(key) is None:
            self.sessions[key] = object()  # want "may have come between"
        self.counts[key] += 1  # want "read and written in two steps"
        if key not in self.plain:
            self.plain[key] = 1
        if key not in self.sessions:
            self.plain[key] = 1
        self.counts.add(key, 1)
        return self.sessions.compute_if_absent(key, lambda key: object())

    def count(self, key):
        self.counts[key] = self.counts.get(key, 0) + 1  # want "read and written in two steps"
        old = self.counts[key]
        self.counts[key] = old + 1  # want "read and written in two steps"
        found = self.sessions.get(key)
        if found is None:
            self.sessions[key] = object()  # want "read and written in two steps"
        if key in self.sessions:
            del self.sessions[key]  # want "may be gone since the test"
        self.sessions.pop(key, None)
        if key in self.plain:
            del self.plain[key]
