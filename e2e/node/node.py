"""One node: containerd, kubelet and DRA drivers in a box."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from e2e.api import Raw, until
from e2e.gobuild import ROOT
from e2e.node import image
from e2e.node.box import Box, Inmate
from e2e.node.network import Network, pods_of
from e2e.node.tools import NodeError, Tools

_SOCKET = "/run/containerd/containerd.sock"
_CDI = "/run/cdi"
_START_S = 60.0


class RealNode:
    """A box on the network; `folder` keeps state and logs. Processes end with the thread that started them."""

    def __init__(self, name: str, folder: Path, network: Network, tools: Tools, kubeconfig: Path) -> None:
        self.name = name
        self.folder = folder
        self._tools = tools
        self._kubeconfig = kubeconfig
        self._drivers: dict[str, Inmate] = {}
        self._slices: list[Raw] = []
        folder.mkdir()
        self.box = Box(name, folder)
        try:
            self.address = network.join(self.box)
        except BaseException:
            self.box.stop()
            raise
        self._runtime: Inmate | None = None
        self._kubelet: Inmate | None = None

    # ------------------------------------------------------------ processes

    def start_runtime(self) -> None:
        """First: containerd."""
        cni = self.folder / "cni"
        cni.mkdir()
        (cni / "10-pods.conflist").write_text(json.dumps(self._network_plugins()))
        (self.folder / "containerd.toml").write_text(self._containerd())
        (self.folder / "kubelet.json").write_text(json.dumps(self._kubelet_configuration()))
        path = {"PATH": f"{self._tools.runtime}:{os.environ['PATH']}"}
        command = [str(self._tools.runtime / "containerd"), "--config", str(self.folder / "containerd.toml")]
        self._runtime = self.box.run("containerd", command, path)

    def load(self, images: Iterable[Path]) -> None:
        """Then: images from archives, into containerd once it answers. May be called on any thread."""
        until(self._runtime_answers, f"containerd of {self.name}", _START_S)
        for archive in images:
            ran = self._ctr("images", "import", "--local", str(archive))
            if ran.returncode != 0:
                raise NodeError(f"{self.name}: import of {archive.name} failed: {ran.stderr.strip()}")

    def start_kubelet(self) -> None:
        """Then, and again after it ended: the kubelet. It registers the node by itself."""
        command = [
            str(self._tools.kubelet), "--config", str(self.folder / "kubelet.json"),
            "--kubeconfig", str(self._kubeconfig), "--hostname-override", self.name, "--node-ip", self.address,
            "--root-dir", str(self.root), "--v", "2",
        ]  # fmt: skip
        self._kubelet = self.box.run("kubelet", command)

    def kill_kubelet(self) -> None:
        """As a crash would. Pods go on."""
        assert self._kubelet is not None, "no kubelet runs"
        self._kubelet.kill()

    def publish(self, slices: Sequence[Raw]) -> None:
        """Have drivers run that publish these ResourceSlices, one for each driver that they name.

        A driver that runs is ended and started anew; one that no slice names is ended. Nothing happens where exactly
        these slices are published already.
        """
        drivers = {each["spec"]["driver"] for each in slices}
        if list(slices) == self._slices and drivers == self._drivers.keys():
            return
        self._slices = list(slices)
        for driver in list(self._drivers):
            self.kill_driver(driver)
        for driver in sorted(drivers):
            own = [each for each in slices if each["spec"]["driver"] == driver]
            self._published(driver).write_text(json.dumps(own))
            self.start_driver(driver)

    def start_driver(self, driver: str) -> None:
        """Again, with what it published last."""
        until((self.root / "plugins_registry").is_dir, f"kubelet of {self.name} takes plugins", _START_S)
        command = [
            sys.executable, "-m", "e2e.node.driver", "--name", driver, "--node", self.name,
            "--slices", str(self._published(driver)), "--kubelet", str(self.root), "--cdi", _CDI,
            "--kubeconfig", str(self._kubeconfig),
        ]  # fmt: skip
        self._drivers[driver] = self.box.run(driver, command, {"PYTHONPATH": str(ROOT)})

    def kill_driver(self, driver: str) -> None:
        """As a crash would. What it prepared stays prepared."""
        self._drivers.pop(driver).kill()

    def stop(self) -> None:
        """End everything on it. Raises NodeError when something stays."""
        self.box.stop()

    # ------------------------------------------------------------ what is in it

    @property
    def root(self) -> Path:
        """The kubelet's folder."""
        return self.folder / "kubelet"

    def prepared(self) -> list[str]:
        """The CDI files that drivers have written and not yet removed."""
        ran = subprocess.run(
            self.box.enter(["sh", "-c", f"ls {_CDI} 2>/dev/null || true"]), check=True, capture_output=True, text=True
        )
        return ran.stdout.split()

    def running(self) -> dict[str, int]:
        """Container id -> pid within the box, of all containers that run."""
        found = {}
        for line in self._ctr("tasks", "list").stdout.splitlines()[1:]:
            name, pid, state = line.split()
            if state == "RUNNING":
                found[name] = int(pid)
        return found

    def kill(self, container: str) -> None:
        """SIGKILL to the first process of a container, by its id."""
        subprocess.run(self.box.enter(["kill", "-9", str(self.running()[container])]), check=True, capture_output=True)

    def _published(self, driver: str) -> Path:
        return self.folder / f"{driver}.json"

    def _runtime_answers(self) -> bool:
        assert self._runtime is not None
        if self._runtime.child.code is not None:
            raise NodeError(f"containerd of {self.name} ended:\n{self._runtime.child.tail()}")
        return self._ctr("version").returncode == 0

    def _ctr(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(self._tools.runtime / "ctr"), "--address", _SOCKET, "--namespace", "k8s.io", *arguments]
        return subprocess.run(
            self.box.enter(command), check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )

    # ------------------------------------------------------------ configuration

    def _network_plugins(self) -> Raw:
        ranges = [[{"subnet": pods_of(self.address)}]]
        routes = [{"dst": "0.0.0.0/0"}]
        ipam = {"type": "host-local", "dataDir": "/run/cni", "ranges": ranges, "routes": routes}
        bridge = {"type": "bridge", "bridge": "pods", "isGateway": True, "hairpinMode": True, "ipam": ipam}
        return {"cniVersion": "1.0.0", "name": "pods", "plugins": [bridge]}

    def _containerd(self) -> str:
        return f"""\
version = 3
# In memory: what is unpacked goes with the box, and at once.
root = "/run/images"
state = "/run/containerd"

[grpc]
address = "{_SOCKET}"

[plugins."io.containerd.cri.v1.images"]
snapshotter = "overlayfs"

[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{image.PAUSE}"

[plugins."io.containerd.cri.v1.runtime"]
enable_cdi = true
cdi_spec_dirs = ["{_CDI}"]
# Root may not lower this amount everywhere.
restrict_oom_score_adj = true

[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["{self._tools.runtime}"]
conf_dir = "{self.folder / "cni"}"
use_internal_loopback = true

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
SystemdCgroup = false
BinaryName = "{self._tools.runtime / "runc"}"
"""

    def _kubelet_configuration(self) -> Raw:
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "failCgroupV1": False,
            "cgroupDriver": "cgroupfs",
            "containerRuntimeEndpoint": f"unix://{_SOCKET}",
            "podLogsDir": str(self.folder / "pods"),
            "volumePluginDir": str(self.folder / "volume-plugins"),
            # Only the control plane and other nodes reach it.
            "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"},
            "failSwapOn": False,
            "makeIPTablesUtilChains": False,
            "resolvConf": "",
            # The disk is the host's, and however full that is, no pod is evicted and no image is removed.
            "evictionHard": {"memory.available": "50Mi", "nodefs.available": "0%", "imagefs.available": "0%"},
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
            "nodeStatusUpdateFrequency": "5s",
            "syncFrequency": "5s",  # how soon what failed is tried again
            "shutdownGracePeriod": "0s",
        }
