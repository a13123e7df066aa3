"""The results of the demonstration as text."""

from __future__ import annotations

from threadproof.demo.measure import ROUNDS, Report, Word


def as_text(report: Report) -> str:
    lines = [
        f"{report.words:,} words, {report.distinct:,} different, in {report.files:,} files of {report.path}",
        f"Skipped: {report.binary:,} binary files, {report.unreadable:,} unreadable.",
        "",
        *words_table("most frequent", report.most_frequent),
        "",
        *words_table("in most files", report.in_most_files),
        "",
        "Checked: every way below gave the same counts and files as a dict filled by one thread.",
        "",
        *timings_table(report),
    ]
    return "\n".join(lines)


def words_table(title: str, words: list[Word]) -> list[str]:
    width = max(len(title), *(len(word.word) for word in words))
    return [f"{title:{width}} {'times':>10} {'files':>8}"] + [
        f"{word.word:{width}} {word.count:>10,} {word.files:>8,}" for word in words
    ]


def timings_table(report: Report) -> list[str]:
    """The lines of the times, and below them how they were measured."""
    return [
        f"{'way':12} {'threads':>7} {'seconds':>9} {'speed-up':>9}",
        *(f"{t.way:12} {t.threads:>7} {t.seconds:>9.3f} {t.speedup:>8.2f}x" for t in report.timings),
        "",
        f"{report.python}, the GIL is {'on: threads take turns' if report.gil else 'off'}.",
        "Timed: from a list of words per file to the whole concordance; reading and splitting come before.",
        "With the lock, each thread counts a file by itself and then takes the lock once to add the counts.",
        f"Best of {ROUNDS} rounds, with garbage collection paused.",
    ]
