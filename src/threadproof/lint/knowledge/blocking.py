"""Calls that wait: for time, for the network, for a process, for another thread."""

from __future__ import annotations

from typing import Final

SLEEPS: Final = frozenset({"time.sleep", "gevent.sleep", "eventlet.sleep"})
NETWORK: Final = frozenset(
    {
        "urllib.request.urlopen", "urllib.request.urlretrieve", "urllib2.urlopen",
        "socket.create_connection", "socket.getaddrinfo", "socket.gethostbyname", "requests.get",
        "requests.post", "requests.put", "requests.delete", "requests.patch", "requests.head",
        "requests.request", "httpx.get", "httpx.post", "httpx.request", "smtplib.SMTP", "ftplib.FTP",
        "http.client.HTTPConnection.request", "http.client.HTTPConnection.getresponse",
    }
)  # fmt: skip
PROCESSES: Final = frozenset(
    {"subprocess.run", "subprocess.call", "subprocess.check_call", "subprocess.check_output", "os.system",
     "subprocess.Popen.wait", "subprocess.Popen.communicate"}
)  # fmt: skip
PROMPTS: Final = frozenset({"builtins.input", "getpass.getpass"})
KINDS: Final = (
    (SLEEPS, "sleeps"),
    (NETWORK, "waits for the network"),
    (PROCESSES, "waits for a process"),
    (PROMPTS, "waits for a person"),
)


def wait_of(target: str) -> str:
    """What a call waits for, in words; "" if it does not."""
    return next((words for names, words in KINDS if target in names), "")


CLOSEABLE: Final = frozenset(
    {
        "socket.socket", "socket.create_connection", "builtins.open", "sqlite3.connect",
        "http.client.HTTPConnection", "http.client.HTTPSConnection", "subprocess.Popen", "smtplib.SMTP",
        "ftplib.FTP", "mmap.mmap", "concurrent.futures.ThreadPoolExecutor",
    }
)  # fmt: skip
