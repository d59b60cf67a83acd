"""helm and kustomize of a pinned Go module, built once into the cache folder."""

from pathlib import Path
from typing import Final

from e2e import gobuild

MODULE: Final = Path(__file__).resolve().parent
PACKAGES: Final = {"helm": "helm.sh/helm/v4/cmd/helm", "kustomize": "sigs.k8s.io/kustomize/kustomize/v5"}
_FLAGS: Final = ("-trimpath", "-ldflags", "-s -w")


def binaries() -> Path:
    """The folder of `helm` and `kustomize`. Raises gobuild.GoError."""
    return gobuild.built("renderers", MODULE, PACKAGES, _FLAGS, "these tests need the tools at their pinned versions")
