import time

import requests

from threadproof import HashMap

pages: HashMap[str, str] = HashMap()


def fetch(url, old=None):
    return requests.get(url).text  # want "waits for the network while a key of pages is reserved"


class Loader:
    def __init__(self):
        self.texts = HashMap()

    def load(self, key, old):
        time.sleep(1)  # want "sleeps while a key of self.texts"
        return key

    def run(self, key):
        self.texts.compute(key, self.load)
        self.texts.compute_if_absent(key, lambda key: requests.get(key).text)


def run(url):
    pages.compute(url, fetch)
    text = requests.get(url).text
    pages.compute(url, lambda url, old: text)
