import logging
from concurrent.futures import ThreadPoolExecutor

pool = ThreadPoolExecutor()


def upload(path):
    open(path).read()


def careful(path):
    try:
        upload(path)
    except Exception:
        logging.exception("upload")


def give(path, callback):
    pool.submit(upload, path)  # want "seen by nobody"
    pool.submit(lambda: upload(path))  # want
    pool.submit(callback, path)  # want
    pool.submit(careful, path)
    future = pool.submit(upload, path)
    future.add_done_callback(print)
    return pool.submit(upload, path)


def all_paths(paths, handlers):
    with ThreadPoolExecutor() as executor:
        executor.map(upload, paths)  # want "seen by nobody"
        list(executor.map(upload, paths))
        executor.map(careful, paths)
        [executor.submit(upload, path) for path in paths]  # want "seen by nobody"
        for handler in handlers:
            executor.submit(handler, paths)  # want "seen by nobody"
