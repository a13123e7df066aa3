"""Every instruction of this interpreter is a site, or has a reason why it is none."""

from __future__ import annotations

import opcode

import pytest

from threadproof import _core, consumers
from threadproof.probe.instrument import SITES
from threadproof.probe.opcodes import NO_SITES

if not hasattr(_core, "race"):
    pytest.skip("the probe needs CPython 3.14", allow_module_level=True)

WITHOUT = [name for names in NO_SITES.values() for name in names.split()]


def in_code() -> set[str]:
    """The instructions that the compiler makes: neither specialised, instrumented nor pseudo ones."""
    specialised = getattr(opcode, "_specialized_opmap", {})
    real = {name for name, number in opcode.opmap.items() if number < 256}
    return {name for name in real - set(specialised) if not name.startswith("INSTRUMENTED_")}


def test_no_instruction_is_in_no_row() -> None:
    assert not in_code() - set(SITES) - set(WITHOUT)


def test_no_instruction_is_in_two_rows() -> None:
    assert not set(SITES) & set(WITHOUT)
    assert len(WITHOUT) == len(set(WITHOUT))


def test_what_takes_a_container_apart_is_a_site() -> None:
    assert set(consumers.OPCODES) <= set(SITES)
