import logging
import sys
from sys import modules


def scan(visit):
    for module in sys.modules.values():  # want "if any thread imports"
        visit(module)
    names = [name for name in sys.modules]  # want
    map(visit, sys.modules.values())  # want
    for name in modules:  # want
        visit(name)
    found = sys.modules
    for name, module in found.items():  # want
        visit(name, module)
    return names


def fine(visit):
    for module in sys.modules.copy().values():
        visit(module)
    for name in list(sys.modules):
        visit(name)
    return sorted(sys.modules)


def loggers():
    for name in logging.root.manager.loggerDict:  # want "asks for a new logger"
        print(name)
    for name in list(logging.root.manager.loggerDict):
        print(name)
