"""Texts in, findings and problems out. What cannot be read is a problem; nothing is passed over in silence.

What a tool renders is told where no file says the same: a file has lines, and is where somebody can change it.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from scheduler.audit.catalogue import ENTRIES, SEVERITIES, Benefit, Severity
from scheduler.audit.rules import RULES
from scheduler.audit.rules.base import Context, Hit
from scheduler.audit.rules.claims import classes_asked
from scheduler.audit.sanity import problems
from scheduler.audit.sources import Problem, Source, Text, Unrendered
from scheduler.audit.subjects import Subject, embedded, subjects
from scheduler.audit.tree import (
    MAX_FILE_VALUES,
    Fields,
    Items,
    Node,
    Scalar,
    TreeError,
    chunks,
    of_value,
    parse,
)

TEMPLATED: Final = re.compile(
    r"\{\{-?[^{}\n]*(\.Values|\.Release|\.Chart|\.Capabilities|\.Files|\.Template\b|\binclude\s|\btoYaml\b|\bnindent\b"
    r"|\btpl\s|\bdefine\s|\btemplate\s)|\{%-?\s*(if|for|set|endif|endfor|include|macro)\b"
)
_BRACES: Final = re.compile(r"\{\{|\{%")
_MATTERS: Final = re.compile(r"\b(resource\.k8s\.io/v|(nvidia|amd|intel|google)\.com/[\w.-]+ *:)")
_MAX_WITHIN: Final = 3  # texts in texts
_PATCHES: Final = ("patches", "patchesStrategicMerge", "patchesJson6902")


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing to know. line : 0 where the object came from no file."""

    file: str
    line: int
    id: str
    object: str
    message: str
    advice: str

    @property
    def severity(self) -> Severity:
        """As the catalogue says."""
        return ENTRIES[self.id].severity

    @property
    def benefit(self) -> Benefit:
        """What Dynamic Resource Allocation gives here."""
        return ENTRIES[self.id].benefit


@dataclass(slots=True)
class Report:
    """What an audit found. read : objects by kind."""

    findings: list[Finding] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    read: Counter[str] = field(default_factory=Counter)

    def worst(self) -> int:
        """The place in SEVERITIES of the worst finding, -1 if there is none."""
        return max((SEVERITIES.index(finding.severity) for finding in self.findings), default=-1)


def inspect(sources: Iterable[Text], objects: Iterable[tuple[str, Any]] = ()) -> Report:
    """Findings in these texts, and in (where, object) pairs such as a cluster gives."""
    inspection = _Inspection()
    for source in sources:
        if isinstance(source, Problem):
            inspection.report.problems.append(source)
        elif isinstance(source, Unrendered):
            inspection.unrendered(source)
        else:
            inspection.text(source)
    for where, value in objects:
        inspection.value(where, value)
    return inspection.done()


class _Inspection:
    def __init__(self) -> None:
        self.report = Report()
        self._context = Context()
        self._rendered: set[str] = set()  # names of texts that are no files
        self._documents: set[bytes] = set()  # digests of what was rendered
        self._later: list[Subject] = []  # pods with claims, which may be explained by what is read after them

    def text(self, source: Source) -> None:
        name, text, values = source.name, source.text, 0
        if source.rendered:
            self._rendered.add(name)
        for start, end, line in chunks(text):
            if source.rendered and self._said_before(text[start:end]):
                continue
            templated = TEMPLATED.search(text, start, end)
            if templated is not None:
                self._unparsed(name, text, start, line, templated.start())
                continue
            try:
                document = parse(text, start, end, line)
                values += document.values
                self._root(name, document.root)
            except TreeError as error:
                braces = _BRACES.search(text, start, end)
                if braces is not None and "more than" not in str(error):
                    self._unparsed(name, text, start, line, braces.start())
                else:
                    self.report.problems.append(Problem(name, error.line, str(error)))
            if values > MAX_FILE_VALUES:
                self.report.problems.append(Problem(name, line, f"holds more than {MAX_FILE_VALUES} values: split it"))
                return

    def _said_before(self, text: str) -> bool:
        """Whether a tool rendered this very document before: overlays have most of their base in common."""
        known = len(self._documents)
        self._documents.add(hashlib.blake2b(text.strip("-\n ").encode("utf-8", "surrogatepass")).digest())
        return len(self._documents) == known

    def value(self, where: str, value: Any) -> None:
        try:
            self._root(where, of_value(value))
        except TreeError as error:
            self.report.problems.append(Problem(where, 0, str(error)))

    def done(self) -> Report:
        for subject in self._later:
            self._judge(subject)
        self._later.clear()
        files, rendered = set[Finding](), set[Finding]()
        for finding in self.report.findings:
            (rendered if finding.file in self._rendered else files).add(finding)
        said = {_gist(finding) for finding in files}
        self.report.findings = sorted(files | {each for each in rendered if _gist(each) not in said})
        return self.report

    def unrendered(self, source: Unrendered) -> None:
        """A chart or kustomization of which only the files are read."""
        kind = "Chart" if source.name.endswith("Chart.yaml") else "Kustomization"
        self._add(source.name, kind, Hit("UNPARSED", Scalar("", line=1), source.why))

    def _unparsed(self, name: str, text: str, start: int, line: int, at: int) -> None:
        line += text.count("\n", start, at)
        self._add(name, "template", Hit("UNPARSED", Scalar("", line=line), f"`{text[at : at + 60].splitlines()[0]}`"))

    def _root(self, name: str, root: Node | None, within: str = "", depth: int = 0) -> None:
        for subject in subjects(name, root):
            subject.within = within
            if subject.kind or not within:
                self.report.read[subject.kind or subject.title] += 1
            self.report.problems.extend(Problem(name, node.line, problem) for node, problem in problems(subject))
            if subject.dra and subject.kind in {"ResourceClaim", "ResourceClaimTemplate"}:
                self._context.classes[subject.kind, subject.namespace, subject.name] = classes_asked(subject)
            if any(group.claims for group in subject.groups):
                self._later.append(subject)
            else:
                self._judge(subject)
            patches = list(inline_patches(subject.fields))
            for patch in patches:
                for each in embedded(patch):
                    self._root(name, each, subject.title, depth + 1)
            for text in subject.texts if depth < _MAX_WITHIN else ():
                if not any(text is patch for patch in patches):
                    self._text_within(subject, text, depth)

    def _text_within(self, subject: Subject, text: Scalar, depth: int) -> None:
        """What stands in a text of several lines, if that is YAML; prose and scripts are left alone."""
        try:
            for each in list(embedded(text)):
                if isinstance(each, Fields | Items):
                    self._root(subject.file, each, subject.title, depth + 1)
        except TreeError:
            found = _MATTERS.search(text.text)
            if found is not None:
                hit = Hit("UNPARSED", text, f"`{found[0]}` in a text that is not YAML")
                self._add(subject.file, subject.title, hit)

    def _judge(self, subject: Subject) -> None:
        for rule in RULES:
            for hit in rule(subject, self._context):
                self._add(subject.file, subject.title, hit)

    def _add(self, file: str, title: str, hit: Hit) -> None:
        entry = ENTRIES[hit.id]
        advice = f"{entry.advice} {hit.advice}".strip()
        message = entry.sentence.format(what=_cut(hit.what))
        self.report.findings.append(Finding(file, hit.node.line, hit.id, title, message, advice))


def _gist(finding: Finding) -> tuple[str, str, str]:
    """What a finding says of which kind: what a tool renders differs from its files in names and namespaces."""
    return finding.id, finding.object.partition(" ")[0], finding.message


def _cut(text: str) -> str:
    return text if len(text) <= 400 else text[:400] + " …"


def inline_patches(root: Fields) -> Iterator[Scalar]:
    """Patches that a kustomization holds as texts, not as names of files."""
    for key in _PATCHES:
        value = root.get(key)
        for item in value.children if isinstance(value, Items) else ():
            patch = item.get("patch") if isinstance(item, Fields) else item
            if isinstance(patch, Scalar) and "\n" in patch.text.strip():
                yield patch
