"""Tokens repeat a schedule in another process, and it is said where they do not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.explore.programs import PLANTED, named
from tests.kit.hammer import PATIENCE
from threadproof.explore import TokenError, explore
from threadproof.explore.token import Token, packed, read_token, unpacked

ROOT = Path(__file__).parents[2]
# without the environment's packages, if this process is: the new one is to have the same threadproof
PYTHON = [sys.executable, *(["-S"] if sys.flags.no_site else [])]
STRATEGIES = ("dpor", "dfs", "random", "pct", "pos")

REPLAY = """
import sys
from tests.explore.programs import named
from threadproof.explore import explore
for line in sys.stdin:
    name, token, expected = line.rstrip("\\n").split("\\t")
    found = explore(named(name), replay=token)
    assert not found.diverged, (name, token, found.diverged)
    assert found.failure and found.headline() == expected, (name, token, found)
    assert found.token == token, (name, token, found.token)
print("ok")
"""


def test_a_token_repeats_its_failure_in_a_new_process() -> None:
    lines = []
    for kind, (test, _) in PLANTED.items():
        for strategy in STRATEGIES:
            found = explore(test, strategy=strategy, schedules=1_000, seconds=PATIENCE)
            assert found.failure, (kind, strategy)
            lines.append(f"{test.__name__}\t{found.token}\t{found.headline()}\n")
    done = subprocess.run(
        [*PYTHON, "-c", REPLAY],
        input="".join(lines),
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.stdout == "ok\n", done.stderr


@pytest.mark.parametrize("strategy", ["auto", *STRATEGIES])
def test_the_same_seed_explores_the_same_schedules(strategy: str) -> None:
    test = named("wait_without_loop")
    one, other = (
        explore(test, strategy=strategy, seed=3, schedules=1_000, seconds=PATIENCE) for _ in range(2)
    )
    assert one.failure
    assert (one.found_at, one.token) == (other.found_at, other.token)


def test_a_token_of_another_program_is_noticed() -> None:
    token = explore(named("lost_update"), seconds=PATIENCE).token
    found = explore(named("opposite_locks"), replay=token)
    assert found.diverged.startswith(("the replay left the schedule at step ", "the replay took other steps"))
    with pytest.raises(AssertionError, match="the replay"):
        found.check()


def test_changed_code_is_noticed(tmp_path: Path) -> None:
    def write(value: str) -> None:
        (tmp_path / "changing.py").write_text(
            "import threading\n"
            "def test():\n"
            "    box = {'n': 0}\n"
            "    def add():\n"
            f"        n = box['n'] + {value}\n"
            "        box['n'] = n\n"
            "    threads = [threading.Thread(target=add) for _ in range(2)]\n"
            "    for each in threads: each.start()\n"
            "    for each in threads: each.join()\n"
            f"    assert box['n'] == 2 * {value}\n"
        )

    def explored(*arguments: str) -> str:
        command = [*PYTHON, "-m", "threadproof", "explore", "changing.py::test", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
        return f"{done.returncode} {done.stderr}"

    write("1")
    token = explored().rstrip().rpartition(" ")[2]
    assert explored("--replay", token).startswith("66 ")
    write("1000")
    changed = explored("--replay", token)
    assert changed.startswith("67 the program's code has changed since the token was made"), changed


@pytest.mark.parametrize(
    "text", ["", "t1", "t2-314-aaaa-bbbb", "t1-314-!!!-aaaaabbbbb", "t1-314-aeaa-aaaaabbbbb"]
)
def test_a_text_that_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(TokenError, match="token"):
        read_token(text)


@pytest.mark.parametrize("sequence", [b"", b"\0", b"\0" * 1000 + b"\1", bytes(range(64)) * 3])
def test_a_sequence_survives_its_token(sequence: bytes) -> None:
    assert unpacked(packed(sequence)) == sequence
    assert read_token(str(Token(sequence, "aaaaa", "bbbbb"))) == Token(sequence, "aaaaa", "bbbbb")
