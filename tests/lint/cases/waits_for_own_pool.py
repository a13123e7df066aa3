from concurrent.futures import ThreadPoolExecutor

pool = ThreadPoolExecutor(max_workers=1)
other = ThreadPoolExecutor()


def inner():
    return 1


def outer():
    return pool.submit(inner).result()  # want "waits for another task of the same pool"


def fine():
    return other.submit(inner).result()


first = pool.submit(outer)
second = pool.submit(fine)
