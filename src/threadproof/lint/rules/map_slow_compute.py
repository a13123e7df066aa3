"""A function that computes a key's value waits for something slow.

## What it does
Reports calls that sleep, use the network, wait for a child process or for a person, in a lambda or function
given to `compute`, `compute_if_absent`, `compute_if_present` or `merge` of a map of threadproof.

## Why is this bad?
The key is reserved while the function runs: everybody who wants to change it waits as long, and a `timeout`
of theirs ends in TimeoutError.

## Example
```python
pages.compute(url, lambda url, old: requests.get(url).text)
```

Use instead:

```python
text = requests.get(url).text
pages[url] = text
```

## When it is fine
With `compute_if_absent`, where the others would do the same work, and waiting for it is the purpose.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from threadproof.findings import Severity
from threadproof.lint.knowledge.blocking import wait_of
from threadproof.lint.rule import LintRule, Related, Report
from threadproof.lint.rules._own_maps import computing
from threadproof.lint.source import Source, span


def check(source: Source) -> Iterator[Report]:
    for call, name, method, body in computing(source):
        if method == "compute_if_absent":
            continue  # to wait for the one who loads is what it is for
        for node in ast.walk(body):
            if not isinstance(node, ast.Call):
                continue
            words = wait_of(source.name_of(node.func))
            if words:
                yield Report(
                    span(node),
                    f"{source.name_of(node.func)}() {words} while a key of {name} is reserved",
                    function=source.function_name(node),
                    subject=name,
                    related=[Related(f"{method}() reserves the key", span(call))],
                )
                break


RULE = LintRule(
    code="CM505",
    name="map-slow-compute",
    message="a function that computes a value of a concurrent map waits",
    severity=Severity.WARNING,
    group="default",
    advice="do the slow work before, and give the function its result",
    cwe=833,
    words=("compute", "merge"),
    check_file=check,
)
