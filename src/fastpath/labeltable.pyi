from collections.abc import Callable
from typing import Self, final

@final
class LabelTable:
    most: int
    def __new__(
        cls, given: dict[int, bytes] | None = None, *, tell: Callable[[int], bytes] | None = None, most: int = 262144
    ) -> Self: ...
    def __len__(self) -> int: ...
    def forget(self) -> None: ...
