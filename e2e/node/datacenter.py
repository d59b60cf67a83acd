"""A control plane and real nodes, started together and taken away without a trace."""

import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from e2e.api import Raw, until
from e2e.cluster import LocalCluster, Profile, Site, local_cluster, write_kubeconfig
from e2e.gobuild import ROOT
from e2e.kustomize import kubectl
from e2e.node import cgroups, image, own
from e2e.node.box import NAMESPACES
from e2e.node.network import SERVICE, Network
from e2e.node.node import RealNode
from e2e.node.tools import NodeError, Tools, tools

_APPLETS = ("sh", "cat", "echo", "env", "false", "grep", "sleep", "sort", "test", "true", "wget")
_READY_S = 60.0


def unable() -> str:
    """Why no node can be started here by nature, empty where they can."""
    if sys.platform != "linux":
        return "real nodes need Linux"
    if os.geteuid() != 0:
        return "real nodes need root, which makes namespaces and control groups"
    made = subprocess.run(["unshare", *NAMESPACES, "--fork", "true"], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"real nodes need namespaces, and root may not make them here: {made.stderr.strip()}"
    try:
        cgroups.remove(cgroups.make("probe"))
    except (OSError, NodeError) as error:
        return f"real nodes need control groups, and root may not make them here: {error}"
    return ""


class Datacenter:
    """`cluster` is its control plane, which is reached from here as any other."""

    def __init__(self, profile: Profile, folder: Path, names: Sequence[str]) -> None:
        cgroups.sweep()
        self.folder = folder
        self.nodes: list[RealNode] = []
        self._tools: Tools = tools()
        self._network = Network(folder)
        try:
            self._start(profile, names)
        except BaseException:
            self.stop()
            raise

    def _start(self, profile: Profile, names: Sequence[str]) -> None:
        with ThreadPoolExecutor() as pool:
            images = pool.submit(self._images)
            # Real nodes show that they live: those that are silent are evicted from, as in a cluster of users.
            site = Site(self._network.prefix, self._network.open_doors, admission_off="", controllers_off="")
            self.cluster: LocalCluster = local_cluster(profile, self.folder, site=site)
            self.cluster.start_kube_scheduler()
            kubeconfig = self.folder / "node.kubeconfig"
            write_kubeconfig(kubeconfig, f"https://{SERVICE}", "admin-token", self.folder / "certs" / "apiserver.crt")
            for name in names:
                self.nodes.append(RealNode(name, self.folder / name, self._network, self._tools, kubeconfig))
                self.nodes[-1].start_runtime()
            for done in [pool.submit(node.load, images.result()) for node in self.nodes]:
                done.result()
        for node in self.nodes:
            node.start_kubelet()
        for node in self.nodes:
            until(lambda node=node: self.ready(node.name), f"node {node.name} Ready", _READY_S)

    def _images(self) -> list[Path]:
        folder = self.folder / "images"
        folder.mkdir()
        return [
            image.pause(self._tools.runtime / "pause", folder),
            image.busybox(self._tools.busybox, _APPLETS, folder),
            own.image(folder),
        ]

    def ready(self, name: str) -> bool:
        """Whether a node says that it is Ready, and has no taint any more of the time before."""
        node: Raw | None = self.cluster.api.find("Node", name)
        if node is None or node["spec"].get("taints"):
            return False
        return any(each["type"] == "Ready" and each["status"] == "True" for each in node["status"]["conditions"])

    def kubectl(self, *arguments: str, check: bool = True) -> str:
        """What a command prints, run in the checkout. Raises NodeError when it fails."""
        command = [kubectl(), "--kubeconfig", str(self.cluster.kubeconfig), *arguments]
        ran = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if check and ran.returncode != 0:
            raise NodeError(f"kubectl {' '.join(arguments)} failed:\n{ran.stderr.strip()[-2000:]}")
        return ran.stdout

    def environment(self) -> dict[str, str]:
        """In which `kubectl` of a shell is the one that tests use, and talks to this cluster."""
        path = f"{Path(kubectl()).parent}:{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "KUBECONFIG": str(self.cluster.kubeconfig)}

    def logs(self, lines: int = 15) -> str:
        """The ends of all logs of nodes."""
        return "\n".join(node.box.logs(lines) for node in self.nodes)

    def stop(self) -> None:
        """End everything. Raises NodeError when something stays."""
        with ExitStack() as last:  # each of them, in reverse order, whatever the others do
            last.callback(self._network.stop)
            for node in self.nodes:
                last.callback(node.stop)
            if hasattr(self, "cluster"):
                last.callback(self.cluster.stop)
            # The server ends once its last client is gone, and some would vanish without a word.
            last.callback(self._network.close_doors)
