import threading
from concurrent.futures import ThreadPoolExecutor

pool = ThreadPoolExecutor()


def ping(host, times=1):
    pass


def start(hosts):
    for host in hosts:
        threading.Thread(target=lambda: ping(host)).start()  # want "finds the last host"
    for host in hosts:
        name = host.upper()

        def work():
            ping(name)  # want

        pool.submit(work)
    return [pool.submit(lambda: ping(host)) for host in hosts]  # want


class Callbacks:
    def __init__(self):
        self.later = []

    def fill(self, hosts):
        for host in hosts:
            self.later.append(lambda: ping(host))  # want


def fine(hosts):
    for host in hosts:
        threading.Thread(target=lambda host=host: ping(host)).start()
    for host in hosts:
        threading.Thread(target=ping, args=(host,)).start()
    for host in hosts:
        pool.submit(lambda: ping(host)).result()
    for host in hosts:
        thread = threading.Thread(target=lambda: ping(host))
        thread.start()
        thread.join()
    for host in hosts:
        sorted(hosts, key=lambda other: other == host)


def collected(hosts):
    tasks = []
    for host in hosts:
        tasks.append(lambda: ping(host))  # want "finds the last host"
    return tasks


def run_at_once(hosts):
    tasks = []
    for host in hosts:
        tasks.append(lambda: ping(host))
        tasks.pop()()


def by_name(hosts):
    return {host: (lambda: ping(host)) for host in hosts}  # want "finds the last host"


def by_name_right(hosts):
    return {host: (lambda host=host: ping(host)) for host in hosts}


class Named:
    def __init__(self, names):
        for name in names:
            setattr(self, name, lambda: ping(name))  # want "finds the last name"
