"""The option order_io: whoever reads bytes comes after all that have written some before."""

from __future__ import annotations

import multiprocessing
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from io import FileIO
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.kit.hammer import PATIENCE
from threadproof import _core
from threadproof.race import detect

if not hasattr(_core, "race"):
    pytest.skip("the race detector needs CPython 3.14", allow_module_level=True)


class Ends(NamedTuple):
    """Of something that passes bytes from thread to thread within a process."""

    send: Callable[[], object]
    receive: Callable[[], object]


def pipe(kept: ExitStack) -> Ends:
    reader, writer = os.pipe()
    kept.callback(os.close, reader)
    kept.callback(os.close, writer)
    return Ends(lambda: os.write(writer, b"!"), lambda: os.read(reader, 1))


def end_of_a_pipe(kept: ExitStack) -> Ends:
    reader, writer = os.pipe()
    kept.callback(os.close, reader)
    return Ends(lambda: os.close(writer), lambda: os.read(reader, 1))


def files_of_a_pipe(kept: ExitStack) -> Ends:
    reader, writer = (
        kept.enter_context(os.fdopen(end, mode)) for end, mode in zip(os.pipe(), "rw", strict=True)
    )
    return Ends(lambda: print("line", file=writer, flush=True), reader.readline)


def raw_files_of_a_pipe(kept: ExitStack) -> Ends:
    reader, writer = (
        kept.enter_context(FileIO(end, mode)) for end, mode in zip(os.pipe(), "rw", strict=True)
    )
    return Ends(lambda: writer.write(b"!"), lambda: reader.read(1))


def sockets(kept: ExitStack) -> Ends:
    sender, receiver = map(kept.enter_context, socket.socketpair())
    return Ends(lambda: sender.sendall(b"!"), lambda: receiver.recv(1))


def files_of_sockets(kept: ExitStack) -> Ends:
    one, other = map(kept.enter_context, socket.socketpair())
    sender, receiver = kept.enter_context(one.makefile("w")), kept.enter_context(other.makefile("r"))
    return Ends(lambda: print("line", file=sender, flush=True), receiver.readline)


def a_connection_that_is_accepted(kept: ExitStack) -> Ends:
    server = kept.enter_context(socket.create_server(("127.0.0.1", 0)))
    return Ends(
        lambda: kept.enter_context(socket.create_connection(server.getsockname())),
        lambda: kept.enter_context(server.accept()[0]),
    )


def a_connection_of_multiprocessing(kept: ExitStack) -> Ends:
    receiver, sender = map(kept.enter_context, multiprocessing.Pipe(duplex=False))
    return Ends(lambda: sender.send(1), receiver.recv)


def encrypted_sockets(kept: ExitStack) -> Ends:
    support = pytest.importorskip("test.support")
    certificate = Path(support.__file__).parents[1] / "certdata" / "keycert.pem"
    for_server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for_server.load_cert_chain(certificate)
    for_client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for_client.check_hostname, for_client.verify_mode = False, ssl.CERT_NONE
    one, other = socket.socketpair()
    server = kept.enter_context(for_server.wrap_socket(one, server_side=True, do_handshake_on_connect=False))
    client = kept.enter_context(for_client.wrap_socket(other, do_handshake_on_connect=False))
    together(server.do_handshake, client.do_handshake)
    return Ends(lambda: server.sendall(b"!"), lambda: client.recv(1))


KINDS = [
    *(pipe, end_of_a_pipe, files_of_a_pipe, raw_files_of_a_pipe, sockets, files_of_sockets),
    *(a_connection_that_is_accepted, a_connection_of_multiprocessing, encrypted_sockets),
]


class Box:
    value: Any = 0


def together(*functions: Callable[[], object]) -> None:
    threads = [threading.Thread(target=function) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()


def rules(kind: Callable[[ExitStack], Ends], order_io: bool, write_after: bool = False) -> set[str]:
    """What is found where one thread sends and another one waits for that, and both use a box."""
    box = Box()

    def first() -> None:
        if write_after:
            ends.send()
        box.value = 1
        if not write_after:
            ends.send()

    def second() -> None:
        ends.receive()
        box.value = 2

    with ExitStack() as kept:
        ends = kind(kept)
        with detect(include=[__file__], order_io=order_io) as detection:
            together(first, second)
    return {finding.rule for finding in detection.findings}


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_that_arrive_order_if_that_is_wanted(kind: Callable[[ExitStack], Ends]) -> None:
    assert rules(kind, order_io=True) == set()
    assert rules(kind, order_io=False) == {"unordered-writes"}


@pytest.mark.parametrize("kind", [pipe, sockets])
def test_a_write_after_the_bytes_were_sent_is_a_race(kind: Callable[[ExitStack], Ends]) -> None:
    assert rules(kind, order_io=True, write_after=True) == {"unordered-writes"}


def test_the_command_and_its_children_have_the_option(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        """
import os, threading

class Box: pass

box = Box()
reader, writer = os.pipe()

def first():
    box.value = 1
    os.write(writer, b"!")

def second():
    os.read(reader, 1)
    box.value = 2

threads = [threading.Thread(target=each) for each in (first, second)]
for each in threads: each.start()
for each in threads: each.join()
"""
    )
    parent = tmp_path / "parent.py"
    parent.write_text("import subprocess, sys\nsubprocess.run([sys.executable, sys.argv[1]])\n")

    def code(*words: object) -> int:
        command = [sys.executable, "-m", "threadproof", "race", *map(str, words)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=PATIENCE).returncode

    assert code("--order-io", program) == 0
    assert code(program) == 66
    assert code("--order-io", "--children", parent, program) == 0
    assert code("--children", parent, program) == 66
