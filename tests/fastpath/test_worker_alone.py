"""The worker needs nothing of Python: while another thread holds the interpreter, it forwards, and decides first packets."""

import ctypes
import json
import socket
import subprocess
import sys
import threading
import time

from fastpath import gwlb
from fastpath.action import Action
from inner_packets import WORKLOAD, udp
from isolation import isolated
from worker_rig import GWLB, REMOTE, SERVICE, WorkerRig

HELD_S, PACKETS = 3.0, 200
# Another process plays GWLB: it says when it is ready, sends at a word, one packet after the answer to the one before.
LOAD = f"""
import json, socket, sys, time
packets = [bytes.fromhex(line) for line in sys.stdin.readline().split()]
end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
end.bind(({GWLB!r}, 6081))
end.settimeout({HELD_S})
print("ready", flush=True)
sys.stdin.readline()
answers = []
for packet in packets:
    end.sendto(packet, ({SERVICE!r}, 6081))
    answers.append(end.recv(9000) == packet)
print(json.dumps({{"answered": sum(answers), "ended": time.monotonic()}}), flush=True)
"""


def hold_interpreter(seconds: float) -> None:
    """Sleep in C with the GIL: no other thread of this process gets to run Python."""
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))


@isolated
def test_flows_go_on_and_new_ones_begin_while_python_stands_still():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
        rig = WorkerRig(flows=4096, gwlb=nobody)
        packets = [gwlb.header(0xAAA, 2, 7, 4) + udp(WORKLOAD, "10.8.7.4", 1024 + n // 2, 9) for n in range(PACKETS)]
        load = subprocess.Popen([sys.executable, "-c", LOAD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        load.stdin.write(" ".join(packet.hex() for packet in packets) + "\n")
        load.stdin.flush()
        assert load.stdout.readline() == "ready\n"
        thread = threading.Thread(target=rig.worker.run)
        thread.start()
        load.stdin.write("go\n")
        load.stdin.flush()
        hold_interpreter(HELD_S)
        released = time.monotonic()
        found = json.loads(load.communicate(timeout=60)[0])
        rig.worker.stop()
        thread.join()
    assert found["answered"] == PACKETS
    assert found["ended"] < released, "the answers waited for Python"
    counts = rig.worker.counters()
    assert (counts["packets"][Action.ACTION_LOCAL], counts["flows"]) == (PACKETS, PACKETS // 2)


@isolated
def test_what_only_python_can_answer_waits_in_a_bounded_ring_and_is_counted():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
        rig = WorkerRig(gwlb=nobody, event_bytes=4096)
        queries = [gwlb.header(0xAAA, 2, 7, 4) + udp(WORKLOAD, REMOTE, 2000 + n, 53, b"\x00\x01\x01\x00\x00\x01" + bytes(6) +
                   b"\x01a\x04test\x00\x00\x01\x00\x01") for n in range(100)]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
            end.bind((GWLB, 6081))
            for query in queries:
                end.sendto(query, (SERVICE, 6081))
                rig._arrived(rig.worker.geneve)
    lost, held = rig.drops()["punt_full"], len(rig.heard())
    assert held > 0 and lost > 0 and held + lost == len(queries)
