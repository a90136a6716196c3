from typing import final

from fastpath.admission import Admission
from fastpath.ring import Ring

@final
class Watch:
    def __new__(cls, admission: Admission, words: Ring | None = None) -> Watch: ...
    @property
    def admission(self) -> Admission: ...
    @property
    def words(self) -> Ring | None: ...
