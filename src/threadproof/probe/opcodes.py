"""The instructions that are no sites, and why each is none.

Every instruction of every supported version is here or in `instrument.SITES`; a test compares both with the
interpreter's own list. A new one has no site until somebody has decided what it reads and writes.
"""

from __future__ import annotations

NO_SITES: dict[str, str] = {
    "moves values between the frame's own locals and its stack": """
        CACHE COPY COPY_FREE_VARS DELETE_FAST END_FOR END_SEND EXTENDED_ARG LOAD_CONST LOAD_COMMON_CONSTANT
        LOAD_FAST LOAD_FAST_AND_CLEAR LOAD_FAST_BORROW LOAD_FAST_BORROW_LOAD_FAST_BORROW LOAD_FAST_CHECK
        LOAD_FAST_LOAD_FAST LOAD_LOCALS LOAD_SMALL_INT MAKE_CELL NOP NOT_TAKEN POP_ITER POP_TOP PUSH_NULL
        STORE_FAST STORE_FAST_LOAD_FAST STORE_FAST_STORE_FAST SWAP
    """,
    "makes an object, or puts values into one that only this frame has": """
        BUILD_INTERPOLATION BUILD_LIST BUILD_MAP BUILD_SET BUILD_SLICE BUILD_STRING BUILD_TEMPLATE BUILD_TUPLE
        LIST_APPEND MAKE_FUNCTION MAP_ADD SETUP_ANNOTATIONS SET_ADD SET_FUNCTION_ATTRIBUTE
    """,
    "jumps, enters or leaves a frame, raises or handles an exception": """
        CHECK_EG_MATCH CHECK_EXC_MATCH CLEANUP_THROW END_ASYNC_FOR ENTER_EXECUTOR EXIT_INIT_CHECK
        INTERPRETER_EXIT JUMP_BACKWARD JUMP_BACKWARD_NO_INTERRUPT JUMP_FORWARD POP_EXCEPT POP_JUMP_IF_FALSE
        POP_JUMP_IF_NONE POP_JUMP_IF_NOT_NONE POP_JUMP_IF_TRUE PUSH_EXC_INFO RAISE_VARARGS RERAISE RESERVED
        RESUME RETURN_GENERATOR RETURN_VALUE TRACE_RECORD WITH_EXCEPT_START YIELD_VALUE
    """,
    "works on numbers, on types or on identities": """
        CALL_INTRINSIC_1 CALL_INTRINSIC_2 FORMAT_WITH_SPEC IS_OP LOAD_BUILD_CLASS MATCH_MAPPING MATCH_SEQUENCE
        UNARY_INVERT UNARY_NEGATIVE UNARY_NOT
    """,
    "calls a method of the type: its own code is watched": "GET_AITER GET_ANEXT GET_AWAITABLE LOAD_SPECIAL",
    "goes on with an iterator, whose start was the site": "SEND",
    "imports; the instruction after it is a site, which orders": "IMPORT_NAME",
    "reads a module while it is imported, which is ordered": "IMPORT_FROM",
    "reads a class, whose attributes are seldom stored again": "LOAD_SUPER_ATTR",
    "reads a class body's own names first, and those are not shared": """
        LOAD_FROM_DICT_OR_DEREF LOAD_FROM_DICT_OR_GLOBALS
    """,
}
