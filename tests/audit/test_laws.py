"""What holds of any text: reading it ends in findings or problems, and migrating it twice is migrating it once."""

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.audit.inspection import inspect
from scheduler.audit.migrating.migration import migrate
from scheduler.audit.report import FORMATS
from scheduler.audit.sources import Source
from scheduler.audit.tree import Fields, Items, TreeError, chunks, parse
from tests.audit.manifests import cases

CASES = [text for _, text, _ in cases()]
PIECES = [
    "\n", "  ", "\t", ":", "- ", "{", "}", "[", "]", "# c\n", "'", '"', "|\n", "&a ", "*a", "<<: ", "---\n", "null",
    "nvidia.com/gpu: 1\n", "limits:\n", "resources: {}\n", "containers: []\n", "exactly:\n", "name: x\n", "~",
    "{{ .Values.a }}", "\r\n", "\ufeff", "é𝄞", "0x1", "? ", "!!str ", "apiVersion: resource.k8s.io/v1beta1\n",
    "deviceClassName: nvidia.com/gpu\n",
]  # fmt: skip


@st.composite
def mutants(draw):
    """A case with a few pieces put in, taken out or doubled."""
    text = draw(st.sampled_from(CASES))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(text)))
        until = min(len(text), at + draw(st.sampled_from([0, 0, 1, 3, 20])))
        piece = draw(st.sampled_from(PIECES))
        text = text[:at] + draw(st.sampled_from(["", piece, text[at:until] * 2])) + text[until:]
    return text


@settings(deadline=None)
@given(mutants() | st.text(max_size=60))
def test_any_text_is_read_or_refused(text):
    report = inspect([Source("a.yaml", text)])

    last = text.count("\n") + 1
    assert all(0 <= each.line <= last for each in [*report.findings, *report.problems])
    for form in FORMATS.values():
        assert form(report)


@settings(deadline=None)
@given(mutants())
def test_migrating_twice_is_migrating_once(text):
    for mode in ("claims", "extended"):
        once = migrate([Source("a.yaml", text)], mode)
        twice = migrate([Source(name, each) for name, each in once.texts.items()], mode)

        assert twice.texts == once.texts
        assert twice.done == []


@settings(deadline=None)
@given(mutants())
def test_what_is_not_changed_stays(text):
    before = inspect([Source("a.yaml", text)])

    for mode in ("claims", "extended"):
        result = migrate([Source("a.yaml", text)], mode)

        if before.problems:
            assert result.texts["a.yaml"] == text
        if not result.done:
            assert result.texts == {"a.yaml": text}


@settings(deadline=None)
@given(st.sampled_from(CASES))
def test_places_are_those_of_the_text(text):
    for start, end, line in chunks(text):
        try:
            stack = [parse(text, start, end, line).root]
        except TreeError:
            continue
        while stack:
            node = stack.pop()
            if isinstance(node, Items):
                stack += node.children
            elif isinstance(node, Fields):
                for key, (name, value) in node.entries.items():
                    assert text[name.start : name.end].strip("'\"") == key
                    assert text.count("\n", 0, name.start) + 1 == name.line
                    stack.append(value)
            elif node is not None and node.text and node.plain and "\n" not in text[node.start : node.end]:
                assert text[node.start : node.end] == node.text
