"""How much memory the process has."""

import os
from pathlib import Path

MEGABYTE = 2**20


def resident() -> int:
    """Bytes of this process that are in memory, as Linux counts them.

    Without those of files, such as Python itself: Linux drops and reads them again as it likes.
    """
    _, pages, of_files, *_ = map(int, Path("/proc/self/statm").read_text().split())
    return (pages - of_files) * os.sysconf("SC_PAGE_SIZE")
