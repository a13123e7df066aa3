from typing import Final, final

class DeadlockError(RuntimeError): ...

@final
class RemoveType: ...

REMOVE: Final[RemoveType]
