import threading

pools = {}
groups = {}


def connect(host):
    pass


def get(host):
    groups.setdefault(host, [])
    return pools.setdefault(host, connect(host))  # want "thrown away"


for _ in range(4):
    threading.Thread(target=get, args=("a",)).start()
