"""Settings of devices between the fast path and this host's kernel: the `kernel:` section of a role's file, and its like.

Apart from zcc.doorway, which makes the device, so that a file is read without what speaks to the kernel.
"""

from ipaddress import IPv4Network
from typing import Literal

from pydantic import Field

from zcc.fields import GWLB_PAYLOAD, Settings

__all__ = ["INNER_SUFFIX", "NAME", "NAME_LIMIT", "DeviceSettings", "LinkSettings"]

INNER_SUFFIX = "-fp"  # of our end of a veth pair
NAME, NAME_LIMIT = r"^[a-z][a-z0-9_.]*$", 15 - len(INNER_SUFFIX)


class LinkSettings(Settings):
    """What every device has."""

    device: Literal["auto", "tun", "veth"] = Field(
        default="auto", description="tun, veth, or auto: tun where /dev/net/tun may be opened"
    )
    name: str = Field(default="zcc0", pattern=NAME, max_length=NAME_LIMIT, description="of the interface")
    mtu: int = Field(default=1500, ge=1280, le=GWLB_PAYLOAD, description="bytes an IP packet may have on it")


class DeviceSettings(LinkSettings):
    """The `kernel:` section."""

    internal: IPv4Network | None = Field(
        default=None,
        description="range inside this host: its .0.1 is the listeners', the rest stands for workloads",
    )
