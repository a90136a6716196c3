"""Several workers, and what feeds them from memory."""

from typing import Any

import numpy as np

from argument_calls.call import BATCH, PORT, T, array, rows_in
from model.arguments import Address, Array, Number


def one(module: Any) -> Any:
    return module.shards(2)[1]


def memory(module: Any) -> Any:
    return module.MemoryPort([b"frame"])


T.call("shard.shard_of", {"count": 2, "source": "10.0.0.1", "source_port": 1, "destination": "10.0.0.2", "destination_port": 2},
       {"count": Number(1, 32), "source": Address(), "source_port": PORT, "destination": Address(), "destination_port": PORT})
T.call("shard.shards", {"count": 2, "ring_bytes": 4096, "ports": (1, 9), "aliases": ("198.18.0.2", 8)},
       {"count": Number(1, 32), "ring_bytes": Number(4096, 1 << 30)})
T.call("shard.Shard.owners_batch", {"batch": rows_in, "out": array(np.int32, 4)},
       BATCH | {"out": Array(np.int32, written=True)}, one, lambda made: made.lost)
T.call("memoryport.MemoryPort", {"frames": [b"frame"], "address": "127.0.0.1", "port": 1, "peers": [1]},
       {"address": Address(), "port": PORT})
T.call("memoryport.MemoryPort.last", {"n": 1}, {"n": Number(0, 1024)}, memory, lambda made: made.sent)
