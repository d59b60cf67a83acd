"""Builds a control plane from its pinned Go module, once per content, into a cache folder."""

import sys
from collections.abc import Callable
from pathlib import Path

from e2e import gobuild
from e2e.gobuild import ROOT, GoError

MODULE = ROOT / "e2e" / "controlplane"
OLDER = MODULE / "v1.35"  # the oldest version that is tested, with the etcd that it requires itself
PACKAGES = {
    "etcd": "go.etcd.io/etcd/server/v3",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
}
BINARIES = tuple(PACKAGES)


class ControlPlaneError(Exception):
    """What stands in the way of a control plane, and what would help."""


def kubernetes_version(module: Path = MODULE) -> str:
    """The pinned Kubernetes version, such as v1.37.2."""
    for line in (module / "go.mod").read_text().splitlines():
        words = line.removeprefix("require").split()
        if words[:1] == ["k8s.io/kubernetes"]:
            return words[1]
    raise ControlPlaneError(f"{module / 'go.mod'}: requires no k8s.io/kubernetes; pin the version to test on")


def flags(version: str) -> tuple[str, ...]:
    """Of `go build`. The version is stamped in, since API server and scheduler derive feature defaults from it."""
    major, minor, *_ = version.removeprefix("v").split(".")
    stamp = "k8s.io/component-base/version.git"
    variables = f"-X {stamp}Version={version} -X {stamp}Major={major} -X {stamp}Minor={minor}"
    return ("-trimpath", "-ldflags", f"-s -w {variables}")


def key(module: Path, go_version: str) -> str:
    """Names what is built: module, checksums, flags and the compiler."""
    return gobuild.key(module, PACKAGES, flags(kubernetes_version(module)), go_version)


def binaries(module: Path = MODULE, say: Callable[[str], None] = gobuild.stderr) -> Path:
    """The folder with all binaries of a module, built if it is not there. Raises ControlPlaneError."""
    without_go = f"put go on PATH, or point KUBEBUILDER_ASSETS at a folder with {', '.join(BINARIES)}"
    try:
        return gobuild.built("controlplane", module, PACKAGES, flags(kubernetes_version(module)), without_go, say)
    except GoError as error:
        raise ControlPlaneError(str(error)) from error


if __name__ == "__main__":
    print(binaries(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else MODULE))
