"""The wire between nodes: a network namespace with a bridge, where the control plane is at the address of its Service.

10.88.0.1, 10.96.0.1   the bridge; the second is the Service `kubernetes`, of which pods are told
10.88.0.N              node N, from 11 on
10.88.N.0/24           pods of node N
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from e2e.api import until
from e2e.gobuild import ROOT
from e2e.node.box import Box
from e2e.node.tools import NodeError
from e2e.process import Child

SERVICE = "10.96.0.1"
_GATEWAY = "10.88.0.1"
FIRST = 11
_START_S = 20.0
_HOLD = "import signal; print('ready', flush=True); signal.pause()"


class Network:
    """Ends with its holder, the one process that keeps the namespace."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._door: Child | None = None
        self._nodes = 0
        command = ["unshare", "--net", "--", sys.executable, "-c", _HOLD]
        self._holder = Child("network", command, folder / "network.log")
        try:
            until(self._ready, "a network namespace", _START_S, every=0.02)
            self._ip("link", "set", "lo", "up")
            self._ip("link", "add", "wire", "type", "bridge")
            self._ip("addr", "add", f"{_GATEWAY}/24", "dev", "wire")
            self._ip("addr", "add", f"{SERVICE}/32", "dev", "wire")
            self._ip("link", "set", "wire", "up")
            _forwards(self._holder.pid)
        except BaseException:
            self.stop()
            raise

    def _ready(self) -> bool:
        if self._holder.code is not None:
            raise NodeError(
                f"unshare --net ended with {self._holder.code}; nodes need the right to make namespaces, which is "
                f"CAP_SYS_ADMIN:\n{self._holder.tail()}"
            )
        return "ready" in self._holder.tail()

    @property
    def prefix(self) -> tuple[str, ...]:
        """Before a command line, has it run on this network."""
        return ("nsenter", "-t", str(self._holder.pid), "-n", "--")

    def join(self, box: Box) -> str:
        """Plug a box in; returns its address, as 10.88.0.11."""
        number = FIRST + self._nodes
        self._nodes += 1
        address = f"10.88.0.{number}"
        self._ip("link", "add", box.name, "type", "veth", "peer", "name", "eth0", "netns", str(box.pid))
        self._ip("link", "set", box.name, "master", "wire", "up")
        self._ip("route", "add", pods_of(address), "via", address, onlink=True)
        for arguments in (
            ("addr", "add", f"{address}/24", "dev", "eth0"),
            ("link", "set", "eth0", "up"),
            ("route", "add", "default", "via", _GATEWAY),
        ):
            _ip(box.pid, *arguments)
        _forwards(box.pid)
        return address

    def open_doors(self, ports: Sequence[int], api: int) -> None:
        """Have loopback ports of the host lead to the same ports of this network, and SERVICE:443 to `api`."""
        self.close_doors()
        command = [sys.executable, "-m", "e2e.node.door", str(self._holder.pid), f"{SERVICE}:443", str(api)]
        self._door = Child("door", [*command, *map(str, ports)], self._folder / "door.log", cwd=ROOT)
        door = self._door

        def opened() -> bool:
            if door.code is not None:
                raise NodeError(f"door ended with {door.code}:\n{door.tail()}")
            return "open" in door.tail()

        until(opened, "doors into the network", _START_S, every=0.02)

    def close_doors(self) -> None:
        """End all connections that lead through them."""
        if self._door is not None:
            self._door.kill()

    def stop(self) -> None:
        """End it; what is plugged in loses its wire."""
        self.close_doors()
        self._holder.kill()

    def _ip(self, *arguments: str, onlink: bool = False) -> None:
        extra = ("dev", "wire", "onlink") if onlink else ()
        _ip(self._holder.pid, *arguments, *extra)


def pods_of(address: str) -> str:
    """The addresses of a node's pods, as 10.88.11.0/24."""
    return f"10.88.{address.rpartition('.')[2]}.0/24"


def _ip(pid: int, *arguments: str) -> None:
    _run("nsenter", "-t", str(pid), "-n", "--", "ip", *arguments)


def _forwards(pid: int) -> None:
    _run("nsenter", "-t", str(pid), "-n", "--", "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")


def _run(*command: str) -> None:
    ran = subprocess.run(command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if ran.returncode != 0:
        raise NodeError(f"{' '.join(command)} failed: {ran.stderr.strip()}")
