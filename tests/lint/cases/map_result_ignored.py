from threadproof import HashMap

sessions = HashMap()


def replace(key, old, new):
    sessions.compare_and_swap(key, old, new)  # want "only if no other thread was first"
    if not sessions.compare_and_swap(key, old, new):
        raise LookupError(key)
    return sessions.compare_and_delete(key, old)


def other(plain, key):
    plain.compare_and_swap(key, 1, 2)


def first(key):
    made = object()
    sessions.setdefault(key, made)  # want "used as if it were in sessions"
    kept = sessions.setdefault(key, made)
    sessions.setdefault(key, [])
    return made, kept
