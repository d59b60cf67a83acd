"""Installs the shipped manifests and runs `dovetail run` as the ServiceAccount in them."""

import os
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from e2e.api import Api, until
from e2e.cluster import free_ports, write_kubeconfig
from e2e.kustomize import composed
from e2e.process import Child

NAMESPACE = "dovetail-system"
ACCOUNT = "dovetail"
IDENTITY = f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"
CONFIG_MAP = "dovetail-config"
_TOKEN_S = 7200


def install(api: Api, *components: str) -> None:
    """Apply the base, with some components, as they are, strictly validated.

    The Deployment is validated by the server and not kept: Dovetail runs as a process of the test instead.
    """
    for item in composed(*components):
        api.apply(item, dry_run=item["kind"] == "Deployment")


def token(api: Api) -> str:
    """A token of Dovetail's ServiceAccount."""
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": _TOKEN_S}}
    path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{ACCOUNT}/token"
    text: str = api.call("POST", path, body)["status"]["token"]
    return text


def command() -> str:
    """The console script beside the interpreter that runs this."""
    return str(Path(sys.executable).parent / "dovetail")


class Dovetail:
    """One `dovetail run`, with the configuration of the installed ConfigMap.

    server, certificate : where its kubeconfig points; `settings` become DOVETAIL_* variables, as users set them.
    """

    def __init__(
        self,
        api: Api,
        folder: Path,
        server: str,
        certificate: Path | None,
        settings: Mapping[str, str] | None = None,
        name: str = "dovetail",
    ) -> None:
        self.kubeconfig = folder / f"{name}.kubeconfig"
        write_kubeconfig(self.kubeconfig, server, token(api), certificate, user="dovetail")
        config = folder / f"{name}.yaml"
        config.write_text(api.get("ConfigMap", CONFIG_MAP, NAMESPACE)["data"]["config.yaml"])
        self.port = int((settings or {}).get("DOVETAIL_HTTP__PORT", 0)) or free_ports(1)[0]
        own = {"DOVETAIL_HTTP__PORT": str(self.port), "DOVETAIL_LOG_LEVEL": "INFO", **(settings or {})}
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("DOVETAIL_")}
        self.child = Child(
            name,
            [command(), "run", "--kubeconfig", str(self.kubeconfig), "--config", str(config)],
            folder / f"{name}.log",
            env={**inherited, **own},
        )

    def ready(self, seconds: float = 60.0) -> "Dovetail":
        """Wait until it says that it decides. Raises AssertionError with the end of its log."""

        def deciding() -> bool:
            if self.child.code is not None:
                raise AssertionError(f"dovetail ended with {self.child.code}:\n{self.child.tail()}")
            return self.decides()

        try:
            until(deciding, "dovetail is ready", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.child.tail()}") from None
        return self

    def decides(self) -> bool:
        """Whether it says so now."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=2) as answer:
                return b"deciding" in answer.read()
        except urllib.error.HTTPError as error:
            error.close()
            return False
        except OSError:
            return False

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        return self.child.stop()

    def kill(self) -> None:
        """As a crash would."""
        self.child.kill()
