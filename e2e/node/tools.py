"""What a node is made of: kubelet, containerd, runc and network plugins from pinned Go modules, a few Debian packages.

All of it lands in the cache folder; nothing is installed on the machine.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from e2e import controlplane, gobuild
from e2e.gobuild import GoError

RUNTIME = Path(__file__).with_name("runtime")  # the Go module of what is no part of Kubernetes
RUNTIME_PACKAGES = {
    "containerd": "github.com/containerd/containerd/v2/cmd/containerd",
    "containerd-shim-runc-v2": "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
    "ctr": "github.com/containerd/containerd/v2/cmd/ctr",
    "runc": "github.com/opencontainers/runc",
    "bridge": "github.com/containernetworking/plugins/plugins/main/bridge",
    "host-local": "github.com/containernetworking/plugins/plugins/ipam/host-local",
    "pause": "./pause",
}
# File systems that nodes here do not use, and whose C libraries are not wanted.
_TAGS = "seccomp,no_btrfs,no_devmapper,no_zfs"
KUBELET_PACKAGES = {"kubelet": "k8s.io/kubernetes/cmd/kubelet"}
# libseccomp, since pods ask for the seccomp profile RuntimeDefault; busybox, as something to run in a pod.
DEBIAN_PACKAGES = ("busybox-static", "libseccomp-dev", "libseccomp2")
_COMMANDS = {
    "gcc": "gcc",
    "pkg-config": "pkg-config",
    "ip": "iproute2",
    "unshare": "util-linux",
    "nsenter": "util-linux",
}


class NodeError(Exception):
    """What stands in the way of a node, and what would help."""


@dataclass(frozen=True)
class Tools:
    """Binaries."""

    kubelet: Path
    busybox: Path
    runtime: Path  # a folder with the rest of what Go builds


def tools(say: Callable[[str], None] = gobuild.stderr) -> Tools:
    """Everything, made where it is not there. Raises NodeError."""
    missing = {package for command, package in _COMMANDS.items() if shutil.which(command) is None}
    if missing:
        raise NodeError(f"not on PATH: what Debian's {', '.join(sorted(missing))} have; install them to start nodes")
    debian = debian_files(DEBIAN_PACKAGES, say)
    [libraries] = {path.parent for path in debian.glob("usr/lib/**/pkgconfig/libseccomp.pc")}
    found = {"PKG_CONFIG_PATH": str(libraries), "PKG_CONFIG_SYSROOT_DIR": str(debian)}
    flags = ("-trimpath", "-tags", _TAGS, "-ldflags", "-s -w")
    own = controlplane.flags(controlplane.kubernetes_version())
    without = "put go on PATH"
    try:
        return Tools(
            kubelet=gobuild.built("node", controlplane.MODULE, KUBELET_PACKAGES, own, without, say) / "kubelet",
            runtime=gobuild.built("node", RUNTIME, RUNTIME_PACKAGES, flags, without, say, found),
            busybox=debian / "bin" / "busybox",
        )
    except GoError as error:
        raise NodeError(str(error)) from error


def debian_files(packages: tuple[str, ...], say: Callable[[str], None] = gobuild.stderr) -> Path:
    """A folder of the cache with the files of these Debian packages, as they would lie below /. Raises NodeError."""
    home = gobuild.cache_folder() / "debian"
    folder = home / hashlib.sha256(" ".join(packages).encode()).hexdigest()[:20]
    if folder.is_dir():
        return folder
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise NodeError(f"nodes need the Debian packages {', '.join(packages)}, and this machine has no apt-get")
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.is_dir():
            return folder
        with tempfile.TemporaryDirectory(prefix="unpack-", dir=home) as made:
            say(f"fetching {', '.join(packages)}")
            if _apt(["download", *packages], made).returncode != 0:
                _apt(["update"], made)  # a fresh machine has no lists yet, an old one has outdated ones
                ran = _apt(["download", *packages], made)
                if ran.returncode != 0:
                    raise NodeError(f"apt-get download {' '.join(packages)} failed:\n{ran.stderr[-2000:]}")
            files = Path(made) / "files"
            for archive in sorted(Path(made).glob("*.deb")):
                subprocess.run(["dpkg-deb", "--extract", str(archive), str(files)], check=True)
            files.rename(folder)
    return folder


def _apt(arguments: list[str], folder: str) -> subprocess.CompletedProcess[str]:
    # In a folder of root's, so the download cannot be done by the user _apt.
    command = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", *arguments]
    return subprocess.run(
        command, cwd=folder, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL,
        env={**os.environ, "LC_ALL": "C"},
    )  # fmt: skip


if __name__ == "__main__":
    print(tools())
