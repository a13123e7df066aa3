"""A program under the profiler behaves as alone: output, exit codes, exceptions, and all of its locks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.hammer import PATIENCE
from threadproof import _core

if not hasattr(_core, "contention"):
    pytest.skip("the contention profiler needs CPython 3.14", allow_module_level=True)

LOCKS = """\
import _thread, threading, weakref
for make in (threading.Lock, _thread.allocate_lock, threading.RLock):
    lock = make()
    print(type(lock), repr(lock).partition(" at ")[0], lock.acquire(), lock.acquire(False), lock.locked())
    print(repr(lock).partition(" at ")[0].partition("owner")[0])
    lock.release()
    with lock as entered: print(entered)
    print(lock.acquire(timeout=0), weakref.ref(lock)() is lock)
lock = threading.Lock()
print(isinstance(lock, threading.Lock), isinstance(lock, _thread.LockType), lock.__enter__.__name__)
lock.acquire()
threading.Thread(target=lock.release).start()
print(lock.acquire(), lock.acquire(True, 0.001), lock.acquire(blocking=False))
for wrong in ((False, 1), (True, -2), (1, 2, 3)):
    try: lock.acquire(*wrong)
    except Exception as error: print(type(error).__name__, error)
lock.release()
try: lock.release()
except RuntimeError as error: print(error)
lock = threading.RLock()
with lock, lock:
    print(lock._is_owned(), repr(lock).rpartition(" count")[2].partition(" at ")[0], lock.acquire())
    lock.release()
    tries = threading.Thread(target=lambda: print(lock.acquire(False), lock._is_owned()))
    tries.start()
    tries.join()
print(lock._is_owned(), lock.acquire(False), lock._release_save()[0], repr(lock).partition(" ")[0])
try: lock.release()
except RuntimeError as error: print(error)
print(threading.active_count(), [thread.name for thread in threading.enumerate()])
"""
INTERRUPTED = """\
import os, signal, sys, threading
lock = threading.Lock()
lock.acquire()
main = threading.get_ident()
def interrupt():
    while sys._current_frames()[main].f_code.co_name != "<module>": pass  # it is in start()
    while b"S" not in open(f"/proc/self/task/{os.getpid()}/stat", "rb").read().rpartition(b")")[2][:3]: pass
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt).start()
try:
    lock.acquire()
except KeyboardInterrupt:
    print("interrupted")
print(lock.locked())
"""
FORKS = """\
import os, threading, warnings
warnings.simplefilter("error")
thread = threading.Thread(target=print, args=("a thread",))
thread.start()
thread.join()
child = os.fork()
if child == 0:
    lock = threading.Lock()
    with lock: print("child", flush=True)
    os._exit(3)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
RAISES = """\
import threading
def fail(): raise ValueError("in a thread")
threading.excepthook = lambda args: print(args.exc_type.__name__, args.exc_value)
thread = threading.Thread(target=fail)
thread.start()
thread.join()
raise KeyError("at the end")
"""
EXITS = "import sys, threading\nthreading.Thread(target=print, args=(1,)).start()\nsys.exit(7)\n"

PROGRAMS = {"locks": LOCKS, "interrupted": INTERRUPTED, "forks": FORKS, "raises": RAISES, "exits": EXITS}


def run(*command: str) -> tuple[int, str, str]:
    ran = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=PATIENCE)
    return ran.returncode, ran.stdout, ran.stderr


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_behaves_as_without_the_profiler(name: str, tmp_path: Path) -> None:
    program = tmp_path / "app.py"
    program.write_text(PROGRAMS[name])
    assert run("-m", "threadproof", "contention", "--quiet", str(program)) == run(str(program))


def test_the_report_goes_to_stderr_and_the_output_stays_the_programs(tmp_path: Path) -> None:
    program = tmp_path / "app.py"
    program.write_text("print('out')\n")
    code, out, err = run("-m", "threadproof", "contention", str(program))
    assert (code, out) == (0, "out\n")
    assert err.startswith("contention: ")


def test_a_report_that_cannot_be_written_is_refused_before_the_program_runs(tmp_path: Path) -> None:
    program = tmp_path / "app.py"
    program.write_text("print('out')\n")
    missing = str(tmp_path / "nowhere" / "report.json")
    code, out, err = run("-m", "threadproof", "contention", "--json", missing, str(program))
    assert (code, out) == (2, "")
    assert missing in err
