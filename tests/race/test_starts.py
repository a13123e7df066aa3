"""A program is the same with and without the detector, in every way in which it can be started.

Stdout, stderr and exit code are compared; only the last line of the detector, which says what it watched, is
left out.
"""

from __future__ import annotations

# ruff: noqa: E501 - programs in lines
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kit.hammer import PATIENCE
from threadproof import _core

if not hasattr(_core, "race"):
    pytest.skip("the race detector needs CPython 3.14", allow_module_level=True)

Way = Callable[[Path, str], tuple[list[str], str]]  # -> arguments of python, stdin

THREAD = "import threading; t = threading.Thread(target=int); t.start(); t.join()\n"
ODD = {
    "what main has": "print(sorted((k, type(v).__name__) for k, v in globals().items() if k != 't'), __name__)",
    "builtins are a module": "__builtins__.extra = 1; print(extra)",
    "annotations are values": "class C: n: int\nprint(C.__annotations__)",
    "arguments": "import sys; print(sys.argv[1:], sys.argv[0] and 'a name')",
    "the first path": "import sys; print([p for p in sys.path[:2]])",
    "the spec": "import sys; print(getattr(sys.modules['__main__'].__spec__, 'name', None))",
    "recursion": (
        "import sys\ndef f(n): return f(n + 1) if n < 900 else n\nprint(f(0))\n"
        "sys.setrecursionlimit(200)\ndef g(n):\n try: return g(n + 1)\n except RecursionError: return n\nprint(g(0) > 150)"
    ),
    "frames": (
        "import atexit, inspect, sys\n"
        "def names(frame):\n while frame: yield frame.f_code.co_name; frame = frame.f_back\n"
        "def show(*_): print(list(names(sys._getframe())))\n"
        "show(); print(len(inspect.stack())); atexit.register(show)\n"
        "try: sys._getframe(9)\nexcept ValueError as e: print(e)\n"
        "sys.excepthook = show; 1 / 0"
    ),
    "stack levels": (
        "import logging, sys, warnings\n"
        "log = logging.StreamHandler(sys.stdout); logging.getLogger().addHandler(log)\n"
        "log.setFormatter(logging.Formatter('%(filename)s %(lineno)d %(funcName)s'))\n"
        "for n in (1, 2, 3, 9): warnings.warn(f'{n}', stacklevel=n); logging.warning('', stacklevel=n)"
    ),
    "the deepest call": ("def f(n=0):\n try: return f(n + 1)\n except RecursionError: return n\nprint(f())"),
    "a profile function that stays": (
        "import atexit, sys\natexit.register(int)\n"
        "sys.setprofile(lambda frame, event, arg: sys.stdout.write(f'{event} {frame.f_code.co_name}\\n'))"
    ),
    "a trace function that stays": (
        "import atexit, sys\natexit.register(lambda: None)\n"
        "sys.settrace(lambda frame, event, arg: sys.stdout.write(f'{event} {frame.f_code.co_name}\\n') and None)"
    ),
    "a hook that fails": "import sys\ndef hook(*_): raise KeyError('k')\nsys.excepthook = hook; 1 / 0",
    "a failure": "def f(): raise KeyError('k')\nf()",
    "an exit code": "import sys; sys.exit(7)",
    "no stdout": "import sys; sys.stdout.close()",
    "no streams": "import sys; sys.stdout = sys.stderr = None; sys.exit('message')",
    "another stderr": "import io, sys; sys.stderr = io.StringIO(); print('to nobody', file=sys.stderr)",
    "a closed stderr": "import sys; sys.stderr.close()",
    "a folder that goes": "import os, tempfile; d = tempfile.mkdtemp(); os.chdir(d); os.rmdir(d)",
    "a descriptor": "import os; print(os.open('/', os.O_RDONLY))",
    "a quick exit": "import os; print('out', flush=True); os._exit(5)",
    "a termination": f"import os, time; os.kill(os.getpid(), {int(signal.SIGTERM)}); time.sleep(60)",
    "a child": "import os, sys\nif not (p := os.fork()): sys.exit(3)\nprint(os.waitpid(p, 0)[1] >> 8)",
    "a quick child": "import os\nif not (p := os.fork()): os._exit(4)\nprint(os.waitpid(p, 0)[1] >> 8)",
    "an early start": (
        "from _thread import start_new_thread, allocate_lock\nl = allocate_lock(); l.acquire()\n"
        "start_new_thread(l.release, ()); l.acquire(); print('ran')"
    ),
    "wrong starts": "import _thread\ntry: _thread.start_new_thread(1, 2)\nexcept TypeError as e: print(e)",
    "thread functions": "import threading, _thread; print(threading._start_joinable_thread is _thread.start_joinable_thread)",
    "other keys' equality": (
        "class K:\n n = 0\n def __hash__(self): return hash(1)\n def __eq__(self, o): K.n += 1; return False\n"
        "w = threading.Event(); u = threading.Thread(target=w.wait); u.start()\n"
        "d = {K(): 0}\nfor _ in range(5): d[1] = 1; del d[1]; d.setdefault(1, 2); d.pop(1)\n"
        "w.set(); u.join(); print(K.n)"
    ),
    "semaphores": (
        "import sys\nfor f in (lambda: threading.Semaphore().release(-1), threading.Semaphore(sys.maxsize).acquire,\n"
        "          threading.BoundedSemaphore(1).release, threading.Semaphore(10**30).acquire):\n"
        " try: print(f())\n except ValueError as e: print(e)"
    ),
}


def as_file(folder: Path, source: str) -> tuple[list[str], str]:
    (folder / "app.py").write_text(source)
    return ["app.py"], ""


def as_link(folder: Path, source: str) -> tuple[list[str], str]:
    (folder / "real").mkdir()
    (folder / "real" / "app.py").write_text(source)
    (folder / "link.py").symlink_to(folder / "real" / "app.py")
    return ["link.py"], ""


def as_code(folder: Path, source: str) -> tuple[list[str], str]:
    return ["-c", source], ""


def as_module(folder: Path, source: str) -> tuple[list[str], str]:
    (folder / "pkg").mkdir()
    (folder / "pkg" / "__init__.py").write_text("")
    (folder / "pkg" / "__main__.py").write_text(source)
    return ["-m", "pkg"], ""


def as_stdin(folder: Path, source: str) -> tuple[list[str], str]:
    return ["-"], source


def as_folder(folder: Path, source: str) -> tuple[list[str], str]:
    (folder / "app").mkdir()
    (folder / "app" / "__main__.py").write_text(source)
    return ["app"], ""


def as_archive(folder: Path, source: str) -> tuple[list[str], str]:
    with zipfile.ZipFile(folder / "app.zip", "w") as archive:
        archive.writestr("__main__.py", source)
    return ["app.zip"], ""


WAYS: tuple[Way, ...] = (as_file, as_link, as_code, as_module, as_stdin, as_folder, as_archive)
COMMAND = str(Path(sys.executable).parent / "threadproof")


def outcome(command: list[str], arguments: list[str], folder: Path, stdin: str) -> tuple[str, str, int]:
    ran = subprocess.run(
        [*command, *arguments, "one", "two"],
        cwd=folder,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    said = [line for line in ran.stderr.splitlines() if not line.startswith("threadproof race: ")]
    return ran.stdout, "\n".join(said), ran.returncode


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_program_is_the_same_in_every_way_of_starting_it(way: Way, tmp_path: Path) -> None:
    names = list(ODD) if way is as_file else [name for name in ODD if name in EVERYWHERE]
    different = {}
    for number, name in enumerate(names):
        folder = tmp_path / str(number)
        folder.mkdir()
        arguments, stdin = way(folder, THREAD + ODD[name])
        plain = outcome([sys.executable], arguments, folder, stdin)
        watched = outcome([COMMAND, "race"], arguments, folder, stdin)
        if plain != watched:
            different[name] = (plain, watched)
    assert not different


# What can depend on the way; the rest is compared once.
EVERYWHERE = {
    "what main has",
    "builtins are a module",
    "annotations are values",
    "arguments",
    "the first path",
} | {
    *("the spec", "recursion", "a failure", "an exit code", "a child"),
}

RACY = """
import multiprocessing as mp, os, sys, threading
from concurrent.futures import ProcessPoolExecutor
class C: n = 0
def bump():
    for _ in range(50): C.n += 1
def race(x=0):
    ts = [threading.Thread(target=bump) for _ in range(2)]
    for t in ts: t.start()
    for t in ts: t.join()
def fork(leave):
    if not (p := os.fork()):
        race()
        leave(0)
    os.waitpid(p, 0)
def pool(kind):
    with ProcessPoolExecutor(2, mp_context=mp.get_context(kind)) as p: list(p.map(race, range(2)))
def process(kind):
    p = mp.get_context(kind).Process(target=race); p.start(); p.join()
if __name__ == "__main__": exec(sys.argv[1])
"""


@pytest.mark.parametrize(
    "command",
    [
        *("fork(sys.exit)", "fork(os._exit)", "pool('fork')", "pool('spawn')", "pool('forkserver')"),
        *("process('fork')", "process('spawn')", "race(); os._exit(0)"),
    ],
)
def test_what_children_and_quick_exits_find_is_in_one_report(command: str, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(RACY)
    ran = subprocess.run(
        [COMMAND, "race", "app.py", command], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE
    )
    assert (ran.returncode, ran.stderr.count("lost-update: C.n")) == (66, 1), ran.stderr


def test_a_terminated_program_reports(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(RACY)
    command = f"import time; race(); os.kill(os.getpid(), {int(signal.SIGTERM)}); time.sleep(60)"
    ran = subprocess.run(
        [COMMAND, "race", "app.py", command], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE
    )
    assert ran.returncode == -signal.SIGTERM
    assert "lost-update: C.n" in ran.stderr


STARTER = """
import subprocess, sys
def run(*args, **more): print(subprocess.run([sys.executable, *args], **more).returncode, flush=True)
if __name__ == "__main__": exec(sys.argv[1])
"""
SHOW = "import inspect; print(__name__, sys.argv, sys.orig_argv, sys.path[0], len(inspect.stack()))"


@pytest.mark.parametrize(
    "command",
    [
        f"run('app.py', {SHOW!r}); run('app.py', 'race(); sys.exit(3)')",
        f"run('-X', 'dev', '-u', '-m', 'app', {f'race(); {SHOW}; 1 / 0'!r})",
        f"run('-c', {f'import app, sys; app.race(); {SHOW}'!r}, 'an argument')",
        "run('app.py', 'race(); os.abort()'); run('no_such_file.py')",
        "run('app.py', 'race(); os.kill(os.getpid(), 15); mp.Event().wait(60)')",
        "run('starter.py', 'run(\\'app.py\\', \\'race()\\')')",
    ],
)
def test_programs_that_subprocess_starts_are_followed_and_notice_nothing(
    command: str, tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text(RACY)
    (tmp_path / "starter.py").write_text(STARTER)

    def ran(*start: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*start, "starter.py", command], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE
        )

    alone, watched = ran(sys.executable), ran(COMMAND, "race", "--children")
    errors, _, report = watched.stderr.partition("app.py:6: error: ")
    assert (watched.returncode, watched.stdout, errors) == (66, alone.stdout, alone.stderr), watched.stderr
    assert report.count("lost-update: C.n") == 1
    assert "C.n" not in ran(COMMAND, "race").stderr


@pytest.mark.parametrize(
    ("crash", "number"),
    [
        ("os.abort()", signal.SIGABRT),
        ("faulthandler._sigsegv()", signal.SIGSEGV),
        ("faulthandler._sigsegv(True)", signal.SIGSEGV),  # without a thread state
        ("t = threading.Thread(target=os.abort); t.start(); t.join()", signal.SIGABRT),
    ],
)
def test_a_program_that_crashes_reports_and_ends_as_alone(crash: str, number: int, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(RACY)
    command = [COMMAND, "race", "--json", "races.json", "app.py", f"import faulthandler; race(); {crash}"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE)
    assert (ran.returncode, ran.stderr.count("lost-update: C.n")) == (-number, 1), ran.stderr
    assert "lost-update" in (tmp_path / "races.json").read_text()


def test_a_program_that_moves_leaves_its_files_where_it_began(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(RACY)
    (tmp_path / "other").mkdir()
    ran = subprocess.run(
        [
            COMMAND,
            "race",
            "--json",
            "races-%p.json",
            "--log-path",
            "log",
            "app.py",
            "race(); os.chdir('other')",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert ran.returncode == 66
    assert sorted(path.name.rstrip("0123456789.json") for path in tmp_path.glob("*.json")) == ["races-"]
    assert len(list(tmp_path.glob("log.*"))) == 1


def test_a_run_says_what_it_watched_and_an_include_of_nothing_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(THREAD + "def f(): pass\nf()\n")
    ran = subprocess.run(
        [COMMAND, "race", "app.py"], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE
    )
    assert ran.returncode == 0
    assert ran.stderr.startswith("threadproof race: watched 2 functions in 1 file"), ran.stderr
    ran = subprocess.run(
        [COMMAND, "race", "--include", "cachetolos", "app.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert ran.returncode == 2
    assert "no code of --include 'cachetolos' has run" in ran.stderr
