"""fastpath.identification and its model, by one suite."""

import numpy as np
import pytest
from scapy.layers.inet import IP, UDP
from scapy.packet import Raw

from fastpath import identification as native
from fastpath import packet
from fastpath.batch import HEADROOM_BYTES, PacketBatch
from fastpath.fragments import FragmentTable
from inner_packets import pieces, read
from model import identification as reference

SEED = bytes(range(1, 33))
US, THERE, ELSEWHERE = "198.51.100.9", "203.0.113.8", "203.0.113.9"


@pytest.fixture(params=[native, reference], ids=["fastpath", "model"])
def impl(request):
    return request.param


def datagram(identification, *, flags="", destination=THERE, frag=0, protocol_layer=UDP):
    made = IP(src=US, dst=destination, id=identification, flags=flags, frag=frag)
    return bytes(made / (protocol_layer(sport=1, dport=2) / Raw(b"x" * 16)))


class Rig:
    """A batch, and who gives its packets their numbers."""

    def __init__(self, impl):
        self.made, self.table, self.batch = impl.Identifications(seed=SEED), FragmentTable(seed=SEED), PacketBatch(64)

    def load(self, packets):
        self.batch.load(packets)
        self.batch.inner_start[:len(packets)] = HEADROOM_BYTES
        self.batch.inner_length[:len(packets)] = [len(one) for one in packets]
        packet.parse_batch(self.batch)

    def renewed(self, packets, numbers=None):
        """What becomes of packets, each the datagram of its number."""
        self.load(packets)
        numbers = [-1] * len(packets) if numbers is None else numbers
        self.made.renew_rows(self.batch, np.arange(len(packets), dtype=np.uint16), self.table, np.array(numbers, np.int32))
        out = [self.batch.data[k, HEADROOM_BYTES:HEADROOM_BYTES + len(one)].tobytes() for k, one in enumerate(packets)]
        assert [made[:4] + made[6:10] + made[12:] for made in out] == [one[:4] + one[6:10] + one[12:] for one in packets]
        return [read(made).id for made in out]      # read() sees to the checksum


def test_two_senders_that_chose_the_same_number_get_two(impl):
    first, second = Rig(impl).renewed([datagram(7), datagram(7)])
    assert first != second


def test_no_number_comes_again_before_all_others_have(impl):
    rig = Rig(impl)
    seen = [number for _ in range(0xFFFF // 51) for number in rig.renewed([datagram(7)] * 51)]
    assert len(seen) == len(set(seen)) == 0xFFFF
    assert rig.renewed([datagram(7)]) == seen[:1]
    assert 0 not in seen


def test_a_packet_that_is_never_in_fragments_keeps_its_number(impl):
    assert Rig(impl).renewed([datagram(7, flags="DF"), datagram(0, flags="DF"), datagram(9, flags="DF+evil")]) == [7, 0, 9]


def test_what_is_in_fragments_gets_one_even_with_df(impl):
    first, later = Rig(impl).renewed([datagram(7, flags="DF+MF"), datagram(7, flags="DF", frag=3)])
    assert first != later        # unless the table of fragments says that they are of one datagram


def test_fragments_of_one_datagram_have_one_number_and_another_datagram_has_another(impl):
    rig = Rig(impl)
    one, other = pieces(datagram(7), 8), pieces(datagram(7), 8)
    numbers = rig.renewed([*one, *other], [3] * len(one) + [4] * len(other))
    assert len(set(numbers[:len(one)])) == len(set(numbers[len(one):])) == 1 != len(set(numbers)) == 2
    assert set(rig.renewed(one[::-1], [3] * len(one))) == {numbers[0]}      # in a later batch, in any order


def test_dead_rows_and_ipv6_are_passed_over(impl):
    rig = Rig(impl)
    rig.load([datagram(7), bytes.fromhex("6000000000083a40") + bytes(40)])
    rig.batch.reason[0] = 1
    before = rig.batch.data[:2].copy()
    rig.made.renew_rows(rig.batch, np.array([0, 1], np.uint16), rig.table, np.array([-1, -1], np.int32))
    assert (rig.batch.data[:2] == before).all()


@pytest.mark.parametrize(("rows", "numbers", "name"), [([0, 2], [-1, -1], "rows"), ([0], [-1, -1], "datagrams"),
                                                       ([0], [4096], "datagrams"), ([0], [-2], "datagrams")])
def test_wrong_calls_are_refused_and_change_nothing(impl, rows, numbers, name):
    rig = Rig(impl)
    rig.load([datagram(7), datagram(7)])
    before = rig.batch.data[:2].copy()
    with pytest.raises(ValueError, match=name):
        rig.made.renew_rows(rig.batch, np.array(rows, np.uint16), rig.table, np.array(numbers, np.int32))
    assert (rig.batch.data[:2] == before).all()


@pytest.mark.parametrize("seed", [bytes(32), b"short"])
def test_a_seed_is_32_secret_bytes(impl, seed):
    with pytest.raises(ValueError, match="seed"):
        impl.Identifications(seed=seed)
