"""Asks a program that serves."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from threadproof.watch import addresses

PATIENCE = 10.0  # seconds for an answer


class UnreachableError(Exception):
    """There is no answer; the message is one line with the way out."""


@dataclass(frozen=True)
class Client:
    """The address of a program."""

    url: str
    token: str | None = None

    def fetch(self) -> dict[str, Any]:
        """What /debug/maps has now."""
        headers = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
        request = urllib.request.Request(f"{self.url.rstrip('/')}/debug/maps", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except urllib.error.HTTPError as error:
            error.close()  # it is the answer as well, and holds a file
            hint = "; give it with --token" if error.code == 401 else ""
            raise UnreachableError(f"{self.url} answers {error.code} {error.reason}{hint}") from None
        except (OSError, ValueError) as error:
            raise UnreachableError(f"{self.url} does not answer: {error}") from None


def client_of(target: str, token: str | None) -> Client:
    """A client for a URL, or for the number of a process of this user."""
    if not target.isdigit():
        return Client(target if "://" in target else f"http://{target}", token)
    try:
        url, known = addresses.read(int(target))
    except (OSError, ValueError) as error:
        raise UnreachableError(
            f"process {target} is not known to serve ({error}); start it with THREADPROOF_WATCH=1, or give "
            "the URL of its serve()"
        ) from None
    return Client(url, token or known)
