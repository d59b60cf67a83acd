"""Folders and the files in them."""

from scheduler.audit.inspection import inspect
from scheduler.audit.sources import Source, raw

POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n  - {name: s, image: x}\n"


def test_a_folder_is_read_with_all_under_it_but_what_is_hidden(tmp_path):
    for name in ("a.yaml", "b/c.yml", "b/d/e.json", ".git/f.yaml", ".gitlab-ci.yml", "node_modules/g.yaml", "h.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(POD)

    found = [source.name.removeprefix(f"{tmp_path}/") for source in raw(str(tmp_path))]

    assert found == ["a.yaml", "b/c.yml", "b/d/e.json"]


def test_a_link_inside_the_folder_is_followed(tmp_path):
    (tmp_path / "a.yaml").write_text(POD)
    (tmp_path / "b.yaml").symlink_to("a.yaml")

    assert all(isinstance(each, Source) for each in raw(str(tmp_path)))


def test_a_byte_order_mark_and_windows_lines_are_read(tmp_path):
    text = POD.replace("image: x", "image: x, resources: {limits: {nvidia.com/gpu: 1}}").replace("\n", "\r\n")
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbf" + text.encode())

    report = inspect(raw(str(tmp_path)))

    assert [(each.id, each.line) for each in report.findings] == [("DP001", 6)]
    assert report.problems == []
