"""Output formats, one module each. They use the findings and the tool's name, and no other data of the tool.

To add one that is written to a file: a module, a row in FILES, an option of that name in `options.COMMON`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from threadproof.findings.formats.gitlab import as_gitlab
from threadproof.findings.formats.html import as_html
from threadproof.findings.formats.json import as_json
from threadproof.findings.formats.junit import as_junit
from threadproof.findings.formats.sarif import as_sarif
from threadproof.findings.model import Finding
from threadproof.findings.tool import Tool

FILES: dict[str, Callable[[Sequence[Finding], Tool], str]] = {
    "json": as_json,
    "sarif": as_sarif,
    "html": lambda findings, tool: as_html(findings, tool.title),
    "gitlab": lambda findings, tool: as_gitlab(findings),
    "junit": lambda findings, tool: as_junit(findings, tool.title),
}
