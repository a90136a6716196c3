MAP_HASH: int
MAP_ARRAY: int
MAP_XSK: int
PROGRAM_SCHED_CLS: int
PROGRAM_SOCKET_FILTER: int
PROGRAM_XDP: int
ATTACH_XDP: int
ATTACH_TCX_INGRESS: int
XDP_HAS_FRAGS: int
XDP_GENERIC: int
XDP_DRIVER: int
LIVE_FRAMES: int
MMAPABLE: int

def map_create(kind: int, key_bytes: int, value_bytes: int, entries: int, flags: int = 0) -> int: ...
def map_update(fd: int, key: bytes, value: bytes) -> None: ...
def map_lookup(fd: int, key: bytes, value_bytes: int) -> bytes | None: ...
def program_load(kind: int, code: bytes, *, flags: int = 0, attach: int = 0) -> int: ...
def link_create(program_fd: int, interface_index: int, attach: int, flags: int = 0) -> int: ...
def run(program_fd: int, frame: bytes, repeat: int, *, batch: int = 0, flags: int = 0) -> int: ...
