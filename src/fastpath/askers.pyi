from typing import final

from _typeshed import ReadableBuffer

@final
class AskerTable:
    def __new__(cls, rate: int = 250, *, seed: ReadableBuffer) -> AskerTable: ...
    @property
    def rate(self) -> int: ...
    def ask(self, namespace: int, source: ReadableBuffer, now_ns: int) -> bool: ...
