"""Builds the control plane from its pinned Go module, once per content, into a cache folder."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODULE = ROOT / "e2e" / "controlplane"
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


def cache_folder() -> Path:
    """DOVETAIL_CACHE, or .cache in the checkout."""
    return Path(os.environ.get("DOVETAIL_CACHE") or ROOT / ".cache")


def key(module: Path, go_version: str) -> str:
    """Names what is built: module, checksums, flags and the compiler."""
    digest = hashlib.sha256()
    for part in (
        (module / "go.mod").read_bytes(),
        (module / "go.sum").read_bytes(),
        repr((PACKAGES, flags(kubernetes_version(module)))).encode(),
        go_version.encode(),
    ):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:20]


def binaries(say: Callable[[str], None] = lambda text: print(text, file=sys.stderr, flush=True)) -> Path:
    """The folder with all binaries, built if it is not there. One build at a time; a broken one leaves nothing behind.

    Raises ControlPlaneError.
    """
    go = shutil.which("go")
    if go is None:
        raise ControlPlaneError(
            "no Go tool chain on PATH to build the control plane with: put go on PATH, or point KUBEBUILDER_ASSETS "
            f"at a folder with {', '.join(BINARIES)}"
        )
    ran = subprocess.run(
        [go, "version"], cwd=MODULE, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    if ran.returncode != 0:
        raise ControlPlaneError(f"go version failed: {ran.stderr.strip()}")
    home = cache_folder() / "controlplane"
    folder = home / key(MODULE, ran.stdout.strip())
    if folder.is_dir():
        return folder
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.is_dir():  # another process built it while this one waited
            return folder
        with tempfile.TemporaryDirectory(prefix="build-", dir=home) as made:
            for name, package in PACKAGES.items():
                say(f"building {name} (the first time takes minutes)")
                begun = time.monotonic()
                built = subprocess.run(
                    [go, "build", *flags(kubernetes_version()), "-o", str(Path(made) / name), package],
                    check=False,
                    cwd=MODULE,
                    capture_output=True,
                    text=True,
                    stdin=subprocess.DEVNULL,
                    env={**os.environ, "GOFLAGS": "-mod=readonly", "GOWORK": "off"},
                )
                if built.returncode != 0:
                    raise ControlPlaneError(f"go build {package} failed:\n{built.stderr[-4000:]}")
                say(f"built {name} in {time.monotonic() - begun:.0f} s")
            done = Path(made) / "done"
            done.mkdir()
            for name in PACKAGES:
                (Path(made) / name).rename(done / name)
            done.rename(folder)
    return folder


if __name__ == "__main__":
    print(binaries())
