sessions = {"a": 1}
names = {"b"}


def purge():
    for key in sessions:
        if sessions[key]:
            del sessions[key]  # want "sessions is iterated, and changed here"
    for name in names:
        names.discard(name)  # want


def fine():
    for key in list(sessions):
        del sessions[key]
    for key in sessions:
        del sessions[key]
        break
    for key in sessions:
        if sessions[key]:
            del sessions[key]
            return
    for header in other:
        del other[header]


other = object()
