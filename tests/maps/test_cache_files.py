"""Caches in files: the policy's order, and what is refused."""

from __future__ import annotations

import json
import pickle
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.kit.hammer import hammer
from threadproof import Cache
from threadproof.maps.cache_files import Encoding

ENCODINGS: list[Encoding] = ["pickle", "json"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "entries"


def a_used_cache() -> Cache[int, str]:
    cache = Cache({i: str(i) for i in range(100)}, max_size=100)
    for key in (3, 1, 2):
        assert cache[key] == str(key)
    return cache


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_restored_cache_has_the_entries_in_the_policys_order(file: Path, encoding: Encoding) -> None:
    cache = a_used_cache()
    assert cache.save(file, encoding=encoding) == 100
    other = Cache[int, str](max_size=100)
    assert other.restore(str(file), encoding=encoding) == 100
    assert other == cache
    assert other.policy(100).coldest == cache.policy(100).coldest
    assert other.policy(3).hottest == [2, 1, 3]
    other.check()


def test_a_smaller_cache_gets_the_hottest(file: Path) -> None:
    cache = a_used_cache()
    hottest = cache.policy(10).hottest
    cache.save(file)
    other = Cache[int, str](max_size=10)
    assert other.restore(file) == 10
    assert other.policy().hottest == hottest
    assert Cache[int, str](max_size=0).restore(file) == 0


def test_what_was_there_stays_and_saved_values_replace_it(file: Path) -> None:
    Cache[int, Any]({1: "saved"}).save(file)
    cache = Cache[int, Any]({1: "old", 2: "other"})
    assert cache.restore(file) == 1
    assert cache == {1: "saved", 2: "other"}


def test_weights_and_lifetimes_of_restored_entries_begin_anew(file: Path) -> None:
    now = 0.0
    options: dict[str, Any] = {"expire_after_write": 10, "clock": lambda: now}
    cache = Cache({1: "a", 2: "bb"}, **options)
    now = 9.0
    cache[3] = "ccc"
    assert cache.save(file) == 3
    now = 10.0
    assert cache.save(file) == 1  # what has expired is not saved
    other = Cache[int, str](max_weight=9, weigher=lambda key, value: len(value), **options)
    other.restore(file)
    now = 19.5
    assert (dict(other), other.stats().weight) == ({3: "ccc"}, 3)


@pytest.mark.parametrize(
    ("entry", "error"),
    [
        (((1, 2), 0), r"\(1, 2\).*encoding='pickle'"),
        ((0, (1, 2)), r"would come back as.*encoding='pickle'"),
        ((0, {1: 2}), "encoding='pickle'"),
        ((0, {1}), "key 0.*encoding='pickle'"),
        ((0, [[b"x"]]), "key 0.*encoding='pickle'"),
        ((0, float("nan")), "key 0.*encoding='pickle'"),
    ],
)
def test_json_refuses_what_it_would_change(file: Path, entry: tuple[Any, Any], error: str) -> None:
    with pytest.raises((TypeError, ValueError), match=error):
        Cache[Any, Any]([entry]).save(file, encoding="json")
    assert list(file.parent.iterdir()) == []


def test_json_keeps_the_values_it_can_have(file: Path) -> None:
    entries = {1: None, "1": [1, 2.5, True, {"é\u2028\n": []}], 2.5: "x\ny", False: -0.0}
    Cache[Any, Any](entries).save(file, encoding="json")
    other = Cache[Any, Any]()
    other.restore(file, encoding="json")
    assert other == entries


def damaged(content: bytes, how: str) -> bytes:
    head, body = content.split(b"\n", 1)
    return {
        "empty": b"",
        "another file": b"\x80\x04N.",
        "another file with five words": b"a b c d e\n",
        "no end of the line": b"x" * 10_000,
        "cut short": content[:-1],
        "longer": content + b"\n",
        "one bit": head + b"\n" + body[:5] + bytes([body[5] ^ 1]) + body[6:],
        "another version": content.replace(b" 1 ", b" 2 ", 1),
        "another count": head.replace(b" 100 ", b" 99 ") + b"\n" + body,
    }[how]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("empty", "not a file that"),
        ("another file", "not a file that"),
        ("another file with five words", "not a file that"),
        ("no end of the line", "not a file that"),
        ("cut short", "damaged.*delete it"),
        ("longer", "damaged"),
        ("one bit", "damaged"),
        ("another version", "version 2.*reads version 1"),
        ("another count", "damaged"),
    ],
)
def test_a_damaged_file_is_refused_and_nothing_is_stored(
    file: Path, encoding: Encoding, how: str, error: str
) -> None:
    a_used_cache().save(file, encoding=encoding)
    file.write_bytes(damaged(file.read_bytes(), how))
    cache = Cache[int, str]()
    with pytest.raises(ValueError, match=error):
        cache.restore(file, encoding=encoding)
    assert len(cache) == 0


def test_another_format_than_was_asked_for_is_refused(file: Path) -> None:
    cache = a_used_cache()
    cache.save(file)
    with pytest.raises(ValueError, match=r"has encoding='pickle', asked for was 'json'"):
        cache.restore(file, encoding="json")
    wrong: Any = "yaml"
    with pytest.raises(ValueError, match=r"save\(\) wants encoding='pickle' or encoding='json', got 'yaml'"):
        cache.save(file, encoding=wrong)
    with pytest.raises(ValueError, match=r"restore\(\) wants.*got \['pickle'\]"):
        cache.restore(file, encoding=["pickle"])  # type: ignore[arg-type]


def test_a_save_that_fails_leaves_the_old_file_and_no_other(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_used_cache().save(file)
    before = file.read_bytes()
    with pytest.raises((AttributeError, TypeError, pickle.PicklingError)):
        Cache[int, Any]({1: lambda: None}).save(file)

    def fail(handle: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("threadproof.maps.cache_files.os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        Cache[int, Any]().save(file)
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


def test_a_new_file_is_the_owners_and_an_old_one_keeps_its_mode_and_its_link(file: Path) -> None:
    cache = a_used_cache()
    cache.save(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.chmod(0o640)
    link = file.with_name("link")
    link.symlink_to(file)
    cache.save(link)
    assert link.is_symlink()
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert len(list(file.parent.iterdir())) == 2


def test_a_file_that_is_saved_again_and_again_is_whole_at_every_moment(file: Path) -> None:
    cache = Cache[int, int](max_size=50)
    cache.save(file, encoding="json")

    def work(thread: int) -> None:
        for i in range(40):
            if thread == 0:
                cache.save(file, encoding="json")
            elif thread == 1:
                Cache[int, int]().restore(file, encoding="json")
            else:
                cache.update({(i * 40 + n) % 100: n for n in range(40)})

    hammer(work, 3)
    lines = file.read_text().splitlines()[1:]
    assert all(len(json.loads(line)) == 2 for line in lines)
