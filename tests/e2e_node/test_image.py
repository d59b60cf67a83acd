"""Images that are packed from files."""

import hashlib
import json
import tarfile
from pathlib import Path

from e2e.node.image import LayerWriter, pack
from e2e.node.own import locked


def blob(archive: tarfile.TarFile, entry: dict[str, object]) -> bytes:
    name = str(entry["digest"]).replace(":", "/")
    stream = archive.extractfile(f"blobs/{name}")
    assert stream is not None
    data = stream.read()
    assert f"sha256:{hashlib.sha256(data).hexdigest()}" == entry["digest"]
    assert len(data) == entry["size"]
    return data


def test_an_archive_leads_from_its_index_to_its_layers_by_digests(tmp_path: Path):
    program = tmp_path / "program"
    program.write_text("run me")
    program.chmod(0o700)
    with LayerWriter(tmp_path / "layer") as writer:
        writer.file("bin/program", program)
        writer.link("bin/also", "program")

    packed = pack(tmp_path / "image.tar", "localhost/it:1", [writer.layer], ["/bin/program"], user="1:1")

    with tarfile.open(packed) as archive:
        [entry] = json.loads(archive.extractfile("index.json").read())["manifests"]
        assert entry["annotations"] == {"io.containerd.image.name": "localhost/it:1"}
        manifest = json.loads(blob(archive, entry))
        config = json.loads(blob(archive, manifest["config"]))
        [layer] = manifest["layers"]
        blob(archive, layer)
        assert config["rootfs"]["diff_ids"] == [layer["digest"]]
        assert config["config"]["User"] == "1:1"
    with tarfile.open(writer.layer.path) as files:
        assert [(each.name, oct(each.mode)) for each in files] == [
            ("bin", "0o755"), ("bin/program", "0o755"), ("bin/also", "0o777")
        ]  # fmt: skip


def test_a_package_may_be_locked_in_one_version_for_each_python():
    lines = ["a-b==1.0 \\", "    --hash=sha256:00", "num==2.4.6 ; python_version < '3.12' \\", "num==2.5.5 ; other \\"]
    text = "\n".join(lines)

    assert locked(text) == {"a-b": {"1.0"}, "num": {"2.4.6", "2.5.5"}}
