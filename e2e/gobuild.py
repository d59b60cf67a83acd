"""Builds pinned Go modules, once per content, into a cache folder."""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class GoError(Exception):
    """What stands in the way of a build, and what would help."""


def stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def cache_folder() -> Path:
    """DOVETAIL_CACHE, or .cache in the checkout."""
    return Path(os.environ.get("DOVETAIL_CACHE") or ROOT / ".cache")


def key(module: Path, packages: Mapping[str, str], flags: Sequence[str], go_version: str) -> str:
    """Names what is built: the module's own sources, its checksums, flags and the compiler."""
    digest = hashlib.sha256()
    sources = [module / "go.mod", module / "go.sum", *sorted(module.glob("**/*.go"))]
    parts = [path.read_bytes() for path in sources]
    for part in (*parts, repr((dict(packages), tuple(flags))).encode(), go_version.encode()):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:20]


def built(
    name: str,
    module: Path,
    packages: Mapping[str, str],
    flags: Sequence[str],
    without_go: str,
    say: Callable[[str], None] = stderr,
    environment: Mapping[str, str] | None = None,
) -> Path:
    """The folder `name`/<key> of the cache, with one binary for each entry of `packages` (binary -> Go package).

    Built if it is not there, one build at a time; a broken one leaves nothing behind. Raises GoError: with
    `without_go`, which says what to do, where no compiler is on PATH. `environment` is where C libraries are found.
    """
    go = shutil.which("go")
    if go is None:
        raise GoError(f"no Go tool chain on PATH to build the {name} with: {without_go}")
    ran = subprocess.run(
        [go, "version"], cwd=module, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    if ran.returncode != 0:
        raise GoError(f"go version failed: {ran.stderr.strip()}")
    home = cache_folder() / name
    folder = home / key(module, packages, flags, ran.stdout.strip())
    if folder.is_dir():
        return folder
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.is_dir():  # another process built it while this one waited
            return folder
        with tempfile.TemporaryDirectory(prefix="build-", dir=home) as made:
            for binary, package in packages.items():
                say(f"building {binary} (the first time takes minutes)")
                begun = time.monotonic()
                ran = subprocess.run(
                    [go, "build", *flags, "-o", str(Path(made) / binary), package],
                    check=False,
                    cwd=module,
                    capture_output=True,
                    text=True,
                    stdin=subprocess.DEVNULL,
                    env={**os.environ, **(environment or {}), "GOFLAGS": "-mod=readonly", "GOWORK": "off"},
                )
                if ran.returncode != 0:
                    raise GoError(f"go build {package} failed:\n{ran.stderr[-4000:]}")
                say(f"built {binary} in {time.monotonic() - begun:.0f} s")
            done = Path(made) / "done"
            done.mkdir()
            for binary in packages:
                (Path(made) / binary).rename(done / binary)
            done.rename(folder)
    return folder


def downloaded(folder: Path, module: str) -> Path:
    """The sources of a module that `folder`/go.mod requires, as its go.sum has them. Raises GoError."""
    go = shutil.which("go")
    if go is None:
        raise GoError(f"no Go tool chain on PATH to download {module} with")
    ran = subprocess.run(
        [go, "mod", "download", "-json", module],
        check=False,
        cwd=folder,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "GOFLAGS": "-mod=readonly", "GOWORK": "off"},
    )
    if ran.returncode != 0:
        raise GoError(f"go mod download {module} failed:\n{(ran.stderr + ran.stdout)[-4000:]}")
    return Path(json.loads(ran.stdout)["Dir"])
