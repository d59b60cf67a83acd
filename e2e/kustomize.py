"""The shipped manifests as kubectl builds them: kubectl of PATH, or else of the control plane's own Go module."""

import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from e2e import controlplane, gobuild
from e2e.api import Raw, documents
from e2e.controlplane import ROOT, ControlPlaneError
from e2e.gobuild import GoError

MANIFESTS = ROOT / "manifests"
BASE = MANIFESTS / "base"


@cache
def kubectl() -> str:
    """Raises ControlPlaneError where there is none and none can be built."""
    found = shutil.which("kubectl")
    if found is not None:
        return found
    flags = controlplane.flags(controlplane.kubernetes_version())
    try:
        folder = gobuild.built(
            "kubectl", controlplane.MODULE, {"kubectl": "k8s.io/kubernetes/cmd/kubectl"}, flags, "put kubectl on PATH"
        )
    except GoError as error:
        raise ControlPlaneError(str(error)) from error
    return str(folder / "kubectl")


def built(folder: Path) -> list[Raw]:
    """The objects of a kustomization. Raises ControlPlaneError with what kubectl says of a broken one."""
    ran = subprocess.run(
        [kubectl(), "kustomize", str(folder)], check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    if ran.returncode != 0:
        raise ControlPlaneError(f"kubectl kustomize {folder} failed:\n{ran.stderr.strip()[-4000:]}")
    return list(documents(ran.stdout))


def composed(*components: str, resource: Path = BASE) -> list[Raw]:
    """The objects of `resource` with some of manifests/components, as a cluster's own kustomization would have them."""
    with tempfile.TemporaryDirectory(prefix="dovetail-kustomize-") as made:
        folder = Path(made).resolve()
        lines = [
            "apiVersion: kustomize.config.k8s.io/v1beta1", "kind: Kustomization",
            "resources:", f"  - {os.path.relpath(resource, folder)}",
            *(["components:"] if components else []),
            *(f"  - {os.path.relpath(MANIFESTS / 'components' / name, folder)}" for name in components),
        ]  # fmt: skip
        (folder / "kustomization.yaml").write_text("\n".join(lines) + "\n")
        return built(folder)
