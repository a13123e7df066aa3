import threading
from collections import defaultdict

groups = defaultdict(list)
guarded = defaultdict(list)
lock = threading.Lock()


def worker(key):
    groups[key].append(1)  # want "and one is lost"
    with lock:
        guarded[key].append(1)


for _ in range(4):
    threading.Thread(target=worker, args=("a",)).start()
