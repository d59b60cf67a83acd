"""Dovetail's own image, packed from the environment that runs the tests.

Like the Dockerfile's: the locked packages and no others, the project as a wheel, an interpreter; user 65532. Packages
and interpreter are a layer that is kept in the cache.
"""

import fcntl
import hashlib
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from e2e import gobuild
from e2e.gobuild import ROOT
from e2e.node.image import Layer, LayerWriter, digest_of, pack
from e2e.node.tools import NodeError

IMAGE = "docker.io/library/dovetail-scheduler:0.1.0"
LOCK = ROOT / "requirements.lock"
_HOME = "opt/dovetail"
_VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"
_LIBRARY = f"{_HOME}/lib/{_VERSION}"
_PACKAGES = f"{_LIBRARY}/site-packages"
_STATIC = os.path.basename(sysconfig.get_config_var("LIBPL"))  # what extensions are built with
_LEFT_OUT = (_STATIC, "test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "site-packages")
_PACKED = "1"  # one more where files are packed in another way
# The last condition: a process pool's workers run this file too.
_ENTRY = f"""\
#!/{_HOME}/bin/{_VERSION}
import sys
from scheduler.cli import main
if __name__ == "__main__":
    sys.exit(main())
"""


def image(folder: Path) -> Path:
    """The archive of the image. Raises NodeError when the environment is not what the lock says."""
    environment = environment_layer()
    with LayerWriter(folder / "dovetail.layer") as writer, tempfile.TemporaryDirectory() as made:
        build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", made]
        hooks = {} if os.environ.get("DOVETAIL_PURE") else {"HATCH_BUILD_HOOKS_ENABLE": "1"}
        ran = subprocess.run(build, cwd=ROOT, env=os.environ | hooks, check=False, capture_output=True, text=True)
        if ran.returncode != 0:
            raise NodeError(f"building the wheel failed: {ran.stderr[-2000:]}")
        [wheel] = Path(made).glob("*.whl")
        with zipfile.ZipFile(wheel) as files:
            for name in files.namelist():
                writer.data(f"{_PACKAGES}/{name}", files.read(name))
        writer.text(f"{_HOME}/bin/dovetail", _ENTRY, 0o755)
    variables = {"PATH": f"/{_HOME}/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}
    return pack(
        folder / "dovetail.tar", IMAGE, [environment, writer.layer], [f"/{_HOME}/bin/dovetail"], ["run"],
        variables, user="65532:65532",
    )  # fmt: skip


def environment_layer() -> Layer:
    """Interpreter and locked packages, kept by what they are."""
    packages = locked(LOCK.read_text())
    seed = "\n".join([sys.version, sys.base_prefix, str(_LEFT_OUT), _PACKED, LOCK.read_text()])
    home = gobuild.cache_folder() / "images"
    home.mkdir(parents=True, exist_ok=True)
    kept = home / f"{hashlib.sha256(seed.encode()).hexdigest()[:20]}.layer"
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            with tempfile.TemporaryDirectory(prefix="pack-", dir=home) as made:
                with LayerWriter(Path(made) / "layer") as writer:
                    _interpreter(writer)
                    _distributions(writer, packages)
                writer.layer.path.rename(kept)
    return Layer(kept, digest_of(kept))


def locked(text: str) -> dict[str, set[str]]:
    """Name -> versions of a lock file; a package may have another one for another Python."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", text, re.MULTILINE):
        found.setdefault(name, set()).add(version)
    return found


def _distributions(writer: LayerWriter, packages: Mapping[str, set[str]]) -> None:
    libraries: list[Path] = []
    for name, versions in packages.items():
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue  # for another system, or another Python
        if found.version not in versions:
            told = " or ".join(sorted(versions))
            raise NodeError(f"{name} {found.version} is installed, {LOCK.name} says {told}; run make again")
        for file in found.files or ():
            source = Path(str(file.locate()))
            if set(file.parts) & {"..", "test", "tests"} or not source.is_file():
                continue  # what lies outside are commands
            writer.file(f"{_PACKAGES}/{file}", source)
            if ".so" in source.name:
                libraries.append(source)
    _libraries(writer, libraries)


def _interpreter(writer: LayerWriter) -> None:
    """The interpreter is found by where it lies, and finds its library beside it."""
    binary = Path(sys.executable).resolve()
    writer.file(f"{_HOME}/bin/{_VERSION}", binary)
    library = Path(sysconfig.get_path("stdlib"))
    writer.tree(_LIBRARY, library, leave_out=_LEFT_OUT)
    _libraries(writer, [binary, *library.glob("lib-dynload/*.so")])
    writer.folder("tmp", 0o1777)
    writer.folder("etc")


def _libraries(writer: LayerWriter, binaries: Iterable[Path]) -> None:
    """Shared libraries of the system that these need, where the loader looks by itself; and the loader."""
    ran = subprocess.run(
        ["ldd", *map(str, binaries)], check=False, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}
    )
    lines = set(re.findall(r"^\s+(?:(\S+) => )?(/\S+) \(0x", ran.stdout, re.MULTILINE))
    for name, path in sorted(lines):
        if "site-packages" in path:  # comes with its package
            continue
        target = path.lstrip("/") if not name else f"usr/lib/{name}"
        if writer.has(target):
            continue
        writer.file(target, Path(path))
