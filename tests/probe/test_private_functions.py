"""The private functions refuse wrong arguments: none ends the process, whatever it is called with."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.kit.hammer import PATIENCE
from threadproof import _core

if not hasattr(_core, "race"):
    pytest.skip("the probe needs CPython 3.14", allow_module_level=True)

# Each function with none, one, two and seven arguments of many kinds; the last call's name goes to stderr.
CALLS = """
import itertools, os, sys, threading
from threadproof import _core
from threadproof.race import detect
waits = threading.Event()
values = [
    *(None, 0, -1, 2**70, "a", b"a", (), (1,), [], [(1,)], {}, {1: 2}),
    *(object(), len, repr, int, sys, 1.5, lambda *_: 1),
]
LASTING = {  # what they change would be changed for the rest of the test
    "suspend", "exclude", "configure", "intercept_method", "intercept_truth", "intercept_deallocation",
    "set_event_classes", "intercept_exit", "intercept_crashes", "intercept_starts", "exclude_lock",
}
def call_all(module):
    for name in sorted(vars(module)):
        function = getattr(module, name)
        if name.startswith("_") or not callable(function) or name in LASTING:
            continue
        for count in (0, 1, 2, 7):
            seven = [(value,) * 7 for value in values]
            for arguments in itertools.product(values, repeat=count) if count < 3 else seven:
                os.pwrite(3, f"{module.__name__}.{name}{arguments!r}"[:150].ljust(160).encode(), 0)
                try:
                    function(*arguments)
                except SystemError as error:
                    print(name, arguments, error)
                except Exception:
                    pass
if sys.argv[1] == "on":
    session = detect()
    session.__enter__()
    threading.Thread(target=waits.wait, daemon=True).start()
call_all(_core.probe)
if sys.argv[1] == "off":
    call_all(_core.race)
os._exit(0)
"""


@pytest.mark.parametrize("detector", ["off", "on"])
def test_wrong_arguments_are_refused(detector: str, tmp_path: object) -> None:
    trace = f"{tmp_path}/trace"
    command = f'exec 3<>{trace}; exec "$0" -c "$1" {detector}'
    ran = subprocess.run(
        ["bash", "-c", command, sys.executable, CALLS], capture_output=True, text=True, timeout=PATIENCE
    )
    with open(trace, encoding="utf-8", errors="replace") as last:
        assert ran.returncode == 0, (last.read().strip(), ran.stderr[-2000:])
    assert ran.stdout == ""
