"""Packs OCI images from files, without a container engine: tar archives that containerd imports."""

import hashlib
import io
import json
import os
import platform
import stat
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PAUSE = "localhost/pause:1"
BUSYBOX = "docker.io/library/busybox:1.35.0"

_OCI = "application/vnd.oci.image"
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Layer:
    """An uncompressed tar of files, named by its digest."""

    path: Path
    digest: str

    @property
    def size(self) -> int:
        return self.path.stat().st_size


class LayerWriter:
    """Writes one layer; a context manager, after which `layer` is there."""

    layer: Layer

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tar = tarfile.open(path, "w", format=tarfile.PAX_FORMAT)  # noqa: SIM115
        self._folders: set[str] = set()
        self._files: set[str] = set()

    def __enter__(self) -> "LayerWriter":
        return self

    def __exit__(self, *exc: object) -> None:
        self._tar.close()
        self.layer = Layer(self._path, digest_of(self._path))

    def has(self, name: str) -> bool:
        """Whether this file is in it already."""
        return name in self._files

    def folder(self, name: str, mode: int = 0o755) -> None:
        """A folder with those above it."""
        if not name or name in self._folders:
            return
        self.folder(os.path.dirname(name))
        self._folders.add(name)
        self._add(_entry(name, mode, type=tarfile.DIRTYPE))

    def text(self, name: str, text: str, mode: int = 0o644) -> None:
        """A file with this text."""
        self.data(name, text.encode(), mode)

    def data(self, name: str, data: bytes, mode: int = 0o644) -> None:
        """A file with these bytes."""
        self.folder(os.path.dirname(name))
        self._tar.addfile(_entry(name, mode, size=len(data)), io.BytesIO(data))

    def link(self, name: str, target: str) -> None:
        """A symbolic link."""
        self.folder(os.path.dirname(name))
        self._add(_entry(name, 0o777, type=tarfile.SYMTYPE, linkname=target))

    def file(self, name: str, source: Path) -> None:
        """A copy of a file; what a link points at, where it is one. Its time stays, which compiled modules name."""
        found = source.stat()
        self._files.add(name)
        mode = 0o755 if found.st_mode & stat.S_IXUSR else 0o644
        self.folder(os.path.dirname(name))
        with source.open("rb") as stream:
            self._tar.addfile(_entry(name, mode, size=found.st_size, mtime=int(found.st_mtime)), stream)

    def tree(self, name: str, source: Path, leave_out: Iterable[str] = ()) -> None:
        """All files below a folder, but not folders of these names."""
        omitted = set(leave_out)
        for folder, folders, files in os.walk(source):
            folders[:] = sorted(each for each in folders if each not in omitted)
            inner = os.path.relpath(folder, source)
            for each in sorted(files):
                self.file(os.path.normpath(os.path.join(name, inner, each)), Path(folder) / each)

    def _add(self, entry: tarfile.TarInfo) -> None:
        self._tar.addfile(entry)


def _entry(name: str, mode: int, **fields: Any) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.mode = mode
    for field, value in fields.items():
        setattr(entry, field, value)
    return entry


def digest_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while data := stream.read(_CHUNK):
            digest.update(data)
    return digest.hexdigest()


def pack(
    archive: Path,
    name: str,
    layers: Sequence[Layer],
    entrypoint: Sequence[str],
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    user: str = "",
) -> Path:
    """An image of this full name, such as docker.io/library/busybox:1, for the machine's own processor."""
    settings: dict[str, Any] = {"Entrypoint": list(entrypoint), "Cmd": list(arguments)}
    settings["Env"] = [f"{key}={value}" for key, value in (environment or {}).items()]
    if user:
        settings["User"] = user
    machine = {"architecture": _MACHINES.get(platform.machine(), platform.machine()), "os": "linux"}
    rootfs = {"type": "layers", "diff_ids": [f"sha256:{layer.digest}" for layer in layers]}
    config = json.dumps({**machine, "config": settings, "rootfs": rootfs}).encode()
    blobs = [_described(f"{_OCI}.layer.v1.tar", layer.digest, layer.size) for layer in layers]
    head = _described(f"{_OCI}.config.v1+json", *_named(config))
    listing = {"schemaVersion": 2, "mediaType": f"{_OCI}.manifest.v1+json", "config": head, "layers": blobs}
    manifest = json.dumps(listing).encode()
    entry = _described(f"{_OCI}.manifest.v1+json", *_named(manifest))
    entry |= {"platform": machine, "annotations": {"io.containerd.image.name": name}}
    index = json.dumps({"schemaVersion": 2, "mediaType": f"{_OCI}.index.v1+json", "manifests": [entry]}).encode()
    with LayerWriter(archive) as writer:
        writer.text("oci-layout", '{"imageLayoutVersion": "1.0.0"}')
        writer.data("index.json", index)
        for data in (config, manifest):
            writer.data(f"blobs/sha256/{hashlib.sha256(data).hexdigest()}", data)
        for layer in layers:
            writer.file(f"blobs/sha256/{layer.digest}", layer.path)
    return archive


def _named(data: bytes) -> tuple[str, int]:
    return hashlib.sha256(data).hexdigest(), len(data)


def _described(kind: str, digest: str, size: int) -> dict[str, Any]:
    return {"mediaType": kind, "digest": f"sha256:{digest}", "size": size}


def pause(binary: Path, folder: Path) -> Path:
    """What holds the namespaces of a pod, as the image localhost/pause:1."""
    with LayerWriter(folder / "pause.layer") as writer:
        writer.file("pause", binary)
    return pack(folder / "pause.tar", PAUSE, [writer.layer], ["/pause"])


def busybox(binary: Path, applets: Iterable[str], folder: Path) -> Path:
    """A shell and small commands, under the name by which people pull it."""
    with LayerWriter(folder / "busybox.layer") as writer:
        writer.file("bin/busybox", binary)
        for each in applets:
            writer.link(f"bin/{each}", "busybox")
        for each in ("etc", "root"):
            writer.folder(each)
        writer.folder("tmp", 0o1777)
        writer.text("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
        writer.text("etc/group", "root:x:0:\n")
    return pack(folder / "busybox.tar", BUSYBOX, [writer.layer], [], ["/bin/sh"], {"PATH": "/bin"})
