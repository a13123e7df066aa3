"""What a comment, a docstring or a decorator declares about a function, a class or a module.

Notes are "requires" (the caller holds the lock; "requires:_lock" names it), "thread_safe", "not_shared",
"functional", "confined", "immutable_after_init" and "test_only". Those in words are only believed where they
make the linter silent; decorators of `threadproof.annotations` and `# threadproof:` comments are checked.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

CALLER_HOLDS = re.compile(
    r"(must|should|need(s|ed)? to|has to|have to|required to)\s+(already\s+)?(be\s+)?(hold|held|own"
    r"|acquire|call(ed)?\s+"
    r"(with|while|under|inside))\b.{0,40}(lock|mutex|condition)"
    r"|(lock|mutex)\s+(must|should|has to|needs to|is|already|to)\s+(already\s+)?(be\s+)?(held"
    r"|locked|acquired|taken|owned)"
    r"|(hold|holding|holds|owns)\s+(the\s+|self\.|an?\s+|our\s+)?_?\w*\s?(lock|mutex)"
    r"|(called|call|invoked|used|run|runs)\b.{0,30}\b(under|with|inside|within|from)\s+(the\s+|a\s+|self\.)?[\w.]*\s?_?(lock|mutex)"
    r"|assum\w+\b.{0,40}lock|lock-?\s?protected|protected by\b.{0,30}lock|already locked"
    r"|non-?locking|without locking|lock held",
    re.IGNORECASE | re.DOTALL,
)
NOT_SHARED = re.compile(
    r"(not|n't|isn't|never)\s+(be\s+)?(necessarily\s+)?(thread[- ]?safe|re-?entrant|shared (between"
    r"|among|across) threads)"
    r"|not\s+(intended|meant|designed|safe)\b.{0,40}\b(threads|concurrent)"
    r"|(single|one)[- ]thread(ed)?\b|same thread|thread[- ]unsafe|non[- ]thread-?safe"
    r"|only\b.{0,20}\bfrom\b.{0,20}\b(main|event loop|one|single)",
    re.IGNORECASE | re.DOTALL,
)
THREAD_SAFE = re.compile(r"thread[- ]?safe", re.IGNORECASE)
MARKER = re.compile(r"#\s*threadproof:\s*([a-z_]+)(?:\((['\"]?)([\w.]*)\2\))?")
NAMES_THAT_HOLD = re.compile(
    r"(locked|_nolock|no_lock|lockfree|unlocked|_unsafe|without_lock|under_lock|with_lock_held)(?=_|$)|^nolock"
)
WORDS = ("lock", "mutex", "thread", "concurrent", "reentrant")  # a text without any of them has no note

MARKS = frozenset(
    {
        "requires_lock",
        "guarded_by",
        "thread_safe",
        "confined",
        "functional",
        "immutable_after_init",
        "shared",
    }
)
DECORATORS = frozenset({"thread_safe", "functional", "immutable_after_init", "confined", "requires_lock"})


def declared(text: str) -> frozenset[str]:
    """The notes in comments and docstrings given as one text."""
    lower = text.lower()
    if not any(word in lower for word in WORDS):
        return frozenset()
    text = text.replace("*", "")  # "is **not** thread-safe"
    notes = {f"{name}:{argument}" if argument else name for name, _, argument in MARKER.findall(text)}
    notes = {note.replace("requires_lock", "requires", 1) for note in notes}
    if CALLER_HOLDS.search(text):
        notes.add("requires")
    if NOT_SHARED.search(text):
        notes.add("not_shared")
    elif THREAD_SAFE.search(text):
        notes.add("claims_safe")
    return frozenset(notes)


def comments_at(lines: Sequence[str], first: int, last: int) -> str:
    """The comments of the lines from `first` to `last`, counted from 1."""
    found = [line.partition("#")[2] and line[line.index("#") :] for line in lines[max(first - 1, 0) : last]]
    return "\n".join(comment for comment in found if comment)


def name_says_held(name: str) -> bool:
    """`_put_locked`, `_pop_unlocked`, `_get_nolock`: helpers whose callers hold the lock."""
    return bool(NAMES_THAT_HOLD.search(name))
