import queue

from threadproof import HashMap

groups: HashMap[str, list] = HashMap()
plain: dict[str, list] = {}


def put(key, item):
    groups[key].append(item)  # want "a value of groups is changed in place"
    groups.setdefault(key, []).append(item)  # want "changed in place"
    groups[key][0] = item  # want "changed in place"
    groups.get(key).count += 1  # want "changed in place"
    plain[key].append(item)
    groups.compute(key, lambda key, old: (*old, item), ())
    groups.setdefault(key, queue.Queue()).put(item)


class Shared:
    def __init__(self):
        self.files = HashMap()

    def put(self, key, item):
        self.files[key].append(item)  # want "a value of self.files is changed in place"


class Plain:
    def __init__(self):
        self.files = {}

    def put(self, key, item):
        self.files[key].append(item)
