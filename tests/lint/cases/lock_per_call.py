import threading

shared = threading.Lock()


def one(log):
    with threading.Lock():  # want "excludes nobody"
        log.append(1)


def two(log):
    lock = threading.Lock()  # want "made anew for each call"
    with lock:
        log.append(1)


def three(log):
    lock = threading.Lock()

    def worker():
        with lock:
            log.append(1)

    return worker


def four():
    lock = threading.Lock()
    return lock


def five(log):
    with shared:
        log.append(1)


def six(run):
    lock = threading.Lock()
    run(lock)
    with lock:
        pass


def seven(path):
    if path:
        context = open(path)
    else:
        context = threading.Lock()  # in place of a file
    with context:
        pass
