import threading


class Worker(threading.Thread):
    results = []
    limits = (1, 2)

    def run(self):
        self.results.append(1)  # want "belongs to the class"


class Own(threading.Thread):
    results = []

    def __init__(self):
        super().__init__()
        self.results = []

    def run(self):
        self.results.append(1)


def work(key, seen={}):  # want "share this default of seen"
    seen[key] = 1


def fine(key, seen=None):
    seen = seen or {}
    seen[key] = 1


for _ in range(2):
    threading.Thread(target=work, args=(1,)).start()
    threading.Thread(target=fine, args=(1,)).start()
