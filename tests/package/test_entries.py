"""C++ exceptions stop where CPython, or the C library, calls a C++ function: what is registered says so.

An exception that leaves a function called from C ends the process. So such a function is registered by way of
`Entry` (method<f>(), slot<f>(), getter_of<f>(), setter_of<f>()), or it is noexcept, or it is CPython's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"

ENTRY = re.compile(r"(ext::)?(method|slot|getter_of|setter_of)<.+>\(\)")
CPYTHONS = re.compile(r"Py[A-Z_]\w*")  # written in C
SAFE_LAMBDA = re.compile(r"\[\]\(\) noexcept \{")
CALLBACKS = re.compile(r"\b(?:pthread_key_create|pthread_atfork|Py_AtExit)\(((?:[^();]|\(\)|\{[^}]*\})*)\)")
FLAGS = re.compile(r"\bMETH_|\bkNamed\b")

# Variables that hold an entry, made elsewhere in their file by method<f>().
CHECKED = ("replacement",)

# Addresses cast to void*, which are not those of bare functions, and why.
DATA = {
    "methods[number].original": "CPython's own function, which a trampoline calls",
    "from": "an address from which the kernel copies",
    "locks[i]": "the address of a lock as a number",
    "Threads::survivor()": "a pthread_t as a number",
    "&Entry<kFunction>::call": "the entry itself, which is noexcept",
    "function": "in TypeBuilder: noexcept or CPython's own by the type or the name of the method",
}


def without_comments(source: str) -> str:
    strings_or_comments = re.compile(r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/', re.DOTALL)
    return strings_or_comments.sub(lambda found: found[1] or " ", source)


def elements(source: str, start: int) -> list[str]:
    """The top-level elements of the brace-enclosed list that begins at `start`."""
    found, depth, last = [], 0, start + 1
    tokens = re.compile(r'"(?:\\.|[^"\\])*"|->|[{}()<>,]')
    for token in tokens.finditer(source, start):
        if token[0] in "{(<":
            depth += 1
        elif token[0] in "})>":
            depth -= 1
        if (token[0] == "," and depth == 1) or depth == 0:
            found.append(" ".join(source[last : token.start()].split()))
            last = token.end()
        if depth == 0:
            break
    return found


def noexcept_functions(source: str) -> set[str]:
    return set(re.findall(r"\b(\w+)\([^(){};]*(?:\([^()]*\)[^(){};]*)*\)\s*(?:const\s+)?noexcept\b", source))


def bare_in(source: str) -> Iterator[str]:
    """The functions of a file that C calls and that may throw."""
    source = without_comments(source)
    safe = noexcept_functions(source)

    def is_bare(function: str) -> bool:
        return not (
            function in ("nullptr", "0", *CHECKED)
            or ENTRY.fullmatch(function)
            or CPYTHONS.fullmatch(function)
            or function.lstrip("&") in safe
        )

    for found in re.finditer(r'\{\s*"', source):  # PyMethodDef, PyGetSetDef
        parts = elements(source, found.start())
        if len(parts) >= 4 and FLAGS.search(parts[2]):
            yield from filter(is_bare, parts[1:2])
        elif len(parts) == 5 and parts[3].startswith(('"', "nullptr")) and not parts[1].startswith('"'):
            yield from filter(is_bare, parts[1:3])
    for found in re.finditer(r"\{\s*Py_\w+,", source):  # PyType_Slot, PyModuleDef_Slot
        value = elements(source, found.start())[1]
        if re.match(r"\w+$|&", value) and "(" not in value and value.lstrip("&") + "[]" not in source:
            yield from filter(is_bare, [value])
    for function in re.findall(r"reinterpret_cast<void\*>\(((?:[^();]|\([^()]*\))*)\)", source):
        if function.strip() not in DATA:
            yield from filter(is_bare, [function.strip()])
    for function in re.findall(r"with_cpython\([^,]+,\s*([\w:]+)\)", source):
        if not CPYTHONS.fullmatch(function):
            yield function
    for function in re.findall(r"(?:\btp_\w+|\bml_meth|\bvectorcall)\s*=\s*(&?\w+)\s*[;,]", source):
        yield from filter(is_bare, [function])
    for given in CALLBACKS.findall(source):
        callbacks = [each.strip() for each in given.split(",") if not each.strip().startswith("&")]
        yield from (each for each in callbacks if is_bare(each) and not SAFE_LAMBDA.match(each))


def checked_files() -> list[Path]:
    return sorted(path for part in ("core", "ext") for path in (SOURCE / part).rglob("*.[ch]pp"))


@pytest.mark.parametrize("path", checked_files(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_c_calls_no_function_that_may_throw(path: Path) -> None:
    assert list(bare_in(path.read_text())) == []


@pytest.mark.parametrize(
    "source",
    [
        'PyMethodDef m[] = {{"get", get, METH_NOARGS, "get()"}, {nullptr, nullptr, 0, nullptr}};',
        'PyMethodDef one = {"get", (PyCFunction)get, METH_FASTCALL | METH_KEYWORDS, "get()"};',
        'std::vector<PyMethodDef> all{{"get", get<A, B>, kNamed, "get()"}};',
        'PyGetSetDef a[] = {{"key", key, nullptr, "The key.", nullptr}};',
        'PyGetSetDef a[] = {{"key", getter_of<key>(), set_key, "The key.", nullptr}};',
        "PyType_Slot s[] = {{Py_tp_dealloc, reinterpret_cast<void*>(dealloc)}, {0, nullptr}};",
        "PyModuleDef_Slot s[] = {{Py_mod_exec, execute}, {0, nullptr}};",
        "set(Py_tp_dealloc, reinterpret_cast<void*>(&dealloc));",
        "builder.with_cpython(Py_tp_iter, my_iter);",
        "type->tp_call = call;",
        "definition.ml_meth = call;",
        "pthread_atfork(nullptr, nullptr, after_fork);",
        "pthread_atfork(nullptr, []() { after_fork(1); }, []() noexcept { after_fork(2); });",
    ],
)
def test_a_bare_function_is_seen(source: str) -> None:
    assert list(bare_in(source))


@pytest.mark.parametrize(
    "source",
    [
        'PyMethodDef m[] = {{"get", method<get<A, B>>(), kNamed, "get()"}, {nullptr, nullptr, 0, nullptr}};',
        'PyMethodDef m[] = {{"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS, "doc"}};',
        'PyGetSetDef a[] = {{"key", getter_of<key>(), setter_of<set_key>(), "The key.", nullptr}};',
        "void dealloc(PyObject* self) noexcept {}  set(Py_tp_dealloc, reinterpret_cast<void*>(&dealloc));",
        "PyModuleDef_Slot s[] = {{Py_mod_exec, slot<execute>()}, {Py_mod_gil, Py_MOD_GIL_NOT_USED}};",
        "builder.with_cpython(Py_tp_iter, PyObject_SelfIter);",
        "static void after_fork() noexcept {}  pthread_atfork(nullptr, nullptr, after_fork);",
        "pthread_atfork(nullptr, []() noexcept { after_fork(1); }, nullptr);",
        '// {"get", get, METH_NOARGS, "in a comment"}',
    ],
)
def test_a_function_that_cannot_throw_is_allowed(source: str) -> None:
    assert not list(bare_in(source))


def test_the_extension_imports_no_module_of_the_package() -> None:
    """What it uses of the package is handed over by _core.provide()."""
    importing = re.compile(r'PyImport_\w+\(\s*"threadproof')
    assert not [path for path in checked_files() if importing.search(path.read_text())]
