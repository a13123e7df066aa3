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
