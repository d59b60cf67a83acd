"""A real Prometheus of Debian's package, unpacked into the cache and not installed; and what is asked of it.

Tried in this order: the folder DOVETAIL_PROMETHEUS, binaries on PATH, the cache, `apt-get download prometheus`.
"""

import fcntl
import json
import os
import re
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from e2e.api import until
from e2e.cluster import free_ports
from e2e.gobuild import cache_folder, stderr
from e2e.process import Child

BINARIES = ("prometheus", "promtool")
PACKAGE = "prometheus"
_STARTING = 503  # HTTP status
_REMEDY = "install Prometheus, or name the folder of prometheus and promtool in DOVETAIL_PROMETHEUS"


class PrometheusError(Exception):
    """Why there is no Prometheus, and what would help."""


def binaries() -> Path:
    """The folder of `prometheus` and `promtool`. Raises PrometheusError."""
    given = os.environ.get("DOVETAIL_PROMETHEUS")
    if given:
        return _complete(Path(given)) or _missing(f"{given} lacks {' or '.join(BINARIES)}")
    found = shutil.which("promtool")
    if found and _complete(Path(found).parent):
        return Path(found).parent
    home = cache_folder() / PACKAGE
    folder = home / "unpacked" / "usr" / "bin"
    if _complete(folder):
        return folder
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _complete(folder):
            return folder
        for tool in ("apt-get", "dpkg"):
            if shutil.which(tool) is None:
                return _missing(f"no {tool} on PATH")
        with tempfile.TemporaryDirectory(prefix="download-", dir=home) as made:
            _download(Path(made))
            [archive] = Path(made).glob(f"{PACKAGE}_*.deb")
            _run(["dpkg", "-x", str(archive), f"{made}/unpacked"], Path(made))
            shutil.rmtree(home / "unpacked", ignore_errors=True)
            (Path(made) / "unpacked").rename(home / "unpacked")
    return _complete(folder) or _missing("the package has other contents than expected")


def _complete(folder: Path) -> Path | None:
    return folder if all((folder / name).is_file() for name in BINARIES) else None


def _missing(problem: str) -> Path:
    raise PrometheusError(f"{problem}: {_REMEDY}")


def _download(folder: Path) -> None:
    stderr(f"downloading the package {PACKAGE}")
    command = ["apt-get", "download", "-q", PACKAGE]
    if subprocess.run(command, cwd=folder, check=False, capture_output=True).returncode:
        _run(["apt-get", "update", "-q"], folder)  # a machine that is new knows of no package
        _run(command, folder)


def _run(command: Sequence[str], folder: Path) -> None:
    ran = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True, timeout=300)
    if ran.returncode:
        raise PrometheusError(f"{' '.join(command)} failed ({ran.stderr.strip()[-400:]}): {_REMEDY}")


def promtool(*arguments: str, cwd: Path | None = None) -> str:
    """What promtool says. Raises AssertionError where it complains."""
    command = [str(binaries() / "promtool"), *arguments]
    ran = subprocess.run(command, cwd=cwd, check=False, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


class Prometheus:
    """One server on loopback that scrapes `target` every second under the job `dovetail`.

    jobs : further scrape configs. rules : a file of them.
    """

    def __init__(self, folder: Path, target: str, rules: Path, jobs: Sequence[Mapping[str, Any]] = ()) -> None:
        [self.port] = free_ports(1)
        config = folder / "prometheus.yaml"
        content = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "2s"},
            "rule_files": [str(rules)],
            "scrape_configs": [{"job_name": "dovetail", "static_configs": [{"targets": [target]}]}, *jobs],
        }
        with config.open("w") as file:
            YAML(typ="safe", pure=True).dump(content, file)
        command = [
            str(binaries() / "prometheus"), f"--config.file={config}", f"--storage.tsdb.path={folder}/tsdb",
            f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn",
        ]  # fmt: skip
        self.child = Child("prometheus", command, folder / "prometheus.log")

    def ready(self) -> "Prometheus":
        """Wait until it has scraped its target twice, which rates need."""

        def scraped() -> bool:
            assert self.child.code is None, f"prometheus ended:\n{self.child.tail()}"
            try:
                found = self.query("count_over_time(up{job='dovetail'}[1m]) >= 2 and up == 1")
            except OSError:
                return False
            return bool(found)

        until(scraped, "prometheus scrapes dovetail", 60)
        return self

    def ask(self, path: str, **query: str) -> Any:
        """The data of an API answer. Raises AssertionError where it is an error, OSError while the server starts."""
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                found = json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code == _STARTING:
                raise
            with error:
                raise AssertionError(f"{query}: {error.read().decode()[:500]}") from None
        assert found["status"] == "success", found
        return found["data"]

    def query(self, expression: str) -> list[Any]:
        """The samples that an expression has now."""
        found = self.ask("query", query=expression)
        result: list[Any] = found["result"] if found["resultType"] != "scalar" else [found["result"]]
        return result

    def names(self) -> set[str]:
        """Of all metrics that were scraped."""
        return set(self.ask("label/__name__/values"))

    def stop(self) -> None:
        self.child.stop()


_SELECTOR = re.compile(r"\b((?:(?:dovetail|scheduler|process)_|deployment:vllm_|vllm:)[a-z0-9_:]+)(\{[^}]*\})?")


def selectors(expression: str) -> list[tuple[str, str]]:
    """The metrics of ours, and those of vLLM, that an expression reads: each name, and the whole selector."""
    return [(match[1], match[0]) for match in _SELECTOR.finditer(expression)]
