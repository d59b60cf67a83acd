"""Texts in, texts out. What needs a human is refused with its reason, and stays as it is."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from scheduler.audit.inspection import TEMPLATED, Report, inspect
from scheduler.audit.migrating import versions, workloads
from scheduler.audit.migrating.classes import as_text, device_class, extended_class, is_known
from scheduler.audit.migrating.edits import EditError, Edits, apply, block
from scheduler.audit.rules.claims import classes_asked
from scheduler.audit.sources import KUSTOMIZATIONS, Problem, Source
from scheduler.audit.subjects import Group, Subject, subjects
from scheduler.audit.tree import Document, Fields, TreeError, chunks, parse

Mode = Literal["claims", "extended"]
CLASSES: Final = "deviceclasses.yaml"
_VALID: Final = frozenset({"API010", "API011", "API012", "API014", "API016", "API017", "API018", "API019"})
"""Findings that no migrated object may have."""
_LEFT: Final = frozenset({"DP001", "DP003", "DP004", "DP006", "DP007", "SEL005"})
"""Findings that a migration into claims should have ended: where one stays, somebody has to know."""
_SHARES_GPUS: Final = re.compile(r": (timeSlicing|mps) of (.*, )?nvidia\.com/gpu(?!.*renamed)")
_TAKES_CLAIMS: Final = frozenset(
    {"Pod", "PodTemplate", "ReplicationController", "Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job",
     "CronJob", "LeaderWorkerSet", "JobSet", "PyTorchJob", "TFJob", "MPIJob", "XGBoostJob", "PaddleJob", "JAXJob"}
)  # fmt: skip
"""Kinds whose pods can have claims; of others that depends on how old their definition is."""
_NETWORK: Final = "keeps its network devices with the device plugin: claim them from a DRA network driver by hand"


@dataclass(frozen=True, slots=True, order=True)
class Note:
    """What was done to an object, or why a human has to do it."""

    file: str
    line: int
    object: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.object}: {self.text}"


@dataclass(slots=True)
class Result:
    """texts : by the names of the files, those that came and those that are new. originals : those that came."""

    texts: dict[str, str] = field(default_factory=dict)
    originals: dict[str, str] = field(default_factory=dict)
    done: list[Note] = field(default_factory=list)
    refused: list[Note] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def migrate(sources: Sequence[Source | Problem], mode: Mode = "claims") -> Result:
    """All texts, as far as they can be migrated."""
    migration = _Migration(mode)
    for source in sources:
        if isinstance(source, Problem):
            migration.result.problems.append(source)
        else:
            migration.result.originals[source.name] = source.text
    for name, text in migration.result.originals.items():
        migration.survey(name, text)
    for name, text in migration.result.originals.items():
        migration.file(name, text)
    migration.classes()
    for name, text in migration.result.originals.items():
        migration.kustomization(name, text)
    return migration.result


class _Migration:
    def __init__(self, mode: Mode) -> None:
        self.result = Result()
        self._mode = mode
        self._templates: set[tuple[str, str]] = set()
        self._reports: dict[str, Report] = {}
        self._sharing = ""  # where GPUs are told to be shared under the name of whole ones
        self._made = False  # whether there is a template that was not there
        self._classes: set[str] = set()  # that are there
        self._served: set[str] = set()  # extended resources for which there is a class
        self._wanted: dict[str, dict[str, Any]] = {}  # classes to write, by name
        self._resources: dict[str, str] = {}  # extended mode: by the class that is to serve it

    # ------------------------------------------------------------ reading

    def _documents(self, name: str, text: str) -> Iterator[tuple[Document, list[Subject]]]:
        for start, end, line in chunks(text):
            if TEMPLATED.search(text, start, end):
                continue
            try:
                document = parse(text, start, end, line)
                yield document, list(subjects(name, document.root))
            except TreeError:
                continue

    def survey(self, name: str, text: str) -> None:
        """What is there already, and what is asked for."""
        self._reports[name] = report = inspect([Source(name, text)])
        for each in report.findings:
            if each.id == "INFRA002" and _SHARES_GPUS.search(each.message):
                self._sharing = self._sharing or f"{each.file}:{each.line}"
        for _, found in self._documents(name, text):
            for subject in found:
                if subject.kind == "ResourceClaimTemplate":
                    self._templates.add((subject.namespace, subject.name))
                if subject.kind == "DeviceClass":
                    self._classes.add(subject.name)
                    self._served.add(subject.fields.fields("spec").text("extendedResourceName"))
                for group in subject.groups if self._mode == "extended" else ():
                    for use in group.uses:
                        made = extended_class(use.resource)
                        if made is not None:
                            self._resources[made["metadata"]["name"]] = use.resource

    # ------------------------------------------------------------ files

    def file(self, name: str, text: str) -> None:
        """One text, its documents one after another."""
        report = self._reports[name]
        self.result.texts[name] = text
        wanted = dict(self._wanted)
        self.result.refused += [
            Note(name, each.line, each.object, each.message) for each in report.findings if each.id == "UNPARSED"
        ]
        if report.problems:
            self.result.problems += report.problems
            return
        splices: list[tuple[int, int, str]] = []
        templates: list[dict[str, Any]] = []
        for document, found in self._documents(name, text):
            splices += self._document(name, text, document, found, templates)
        changed = apply(text, splices)
        extra = self._appended(name, changed, templates)
        result = extra.get(name, changed)
        after = inspect([Source(each, made) for each, made in {name: result, **extra}.items()])
        before = {(each.id, each.object) for each in report.findings}
        wrong = [each for each in after.findings if each.id in _VALID]
        spoilt = [each for each in wrong if (each.id, each.object) not in before]
        if after.problems or spoilt:
            why = after.problems[0].message if after.problems else spoilt[0].message
            self.result.refused.append(Note(name, 1, "file", f"would not be valid afterwards ({why}): do it by hand"))
            self.result.done = [each for each in self.result.done if each.file != name]
            self._wanted = wanted
            return
        self.result.texts |= {name: result, **extra}
        self._left(name, report, after)
        self.result.refused += [Note(name, each.line, each.object, f"{each.message}. {each.advice}") for each in wrong]

    def _left(self, name: str, before: Report, after: Report) -> None:
        """Say of what still asks device plugins, and was not refused, that nothing was done."""
        noted = {note.object for note in self.result.refused if note.file == name}
        staying = {(each.id, each.object, each.message) for each in after.findings}
        for each in before.findings if self._mode == "claims" else ():
            if each.id in _LEFT and each.object not in noted and (each.id, each.object, each.message) in staying:
                self.result.refused.append(Note(name, each.line, each.object, f"{each.message}: do it by hand"))

    def _appended(self, name: str, text: str, templates: list[dict[str, Any]]) -> dict[str, str]:
        """The text with new templates behind it, or a file of their own where it is JSON."""
        if not templates:
            return {}
        newline = "\r\n" if "\r\n" in text else "\n"
        documents = [newline.join(block(each, 0)) + newline for each in templates]
        if name.endswith(".json"):
            return {f"{name.removesuffix('.json')}.claims.yaml": f"---{newline}".join(documents)}
        ending = "" if text.endswith("\n") else newline
        return {name: text + ending + "".join(f"---{newline}{each}" for each in documents)}

    def _document(
        self, name: str, text: str, document: Document, found: list[Subject], templates: list[dict[str, Any]]
    ) -> list[tuple[int, int, str]]:
        if document.root is None or not found:
            return []
        edits = Edits(text, document.root)
        done: list[Note] = []
        made: list[dict[str, Any]] = []
        try:
            for subject in found:
                self._subject(subject, edits, done, made)
            if edits.empty:
                self.result.done += done  # extended mode writes a class and leaves the workload as it is
                return []
            if document.aliased:
                raise EditError("uses YAML aliases, so a change in one place would change others: write them out")
            if document.shifted:
                raise EditError("writes characters in two halves (\\ud83d\\ude00): write them as they are")
            splices = edits.splices()
        except EditError as error:
            self.result.refused.append(Note(name, document.line, found[0].title, str(error)))
            return []
        self.result.done += done
        templates += made
        for template in made:
            for request in template["spec"]["spec"]["devices"]["requests"]:
                self._want(request["exactly"]["deviceClassName"])
        return splices

    def _subject(self, subject: Subject, edits: Edits, done: list[Note], made: list[dict[str, Any]]) -> None:
        file, line = subject.file, max(1, subject.root.line)

        def note(text: str) -> None:
            done.append(Note(file, line, subject.title, text))

        if subject.dra:
            reason = versions.refusal(subject)
            if reason:
                self.result.refused.append(Note(file, line, subject.title, reason))
                return
            known = edits.changes()
            versions.convert(subject, edits)
            if edits.changes() > known:
                note("is of resource.k8s.io/v1 now")
                for each in classes_asked(subject):
                    self._want(versions.right_class(each))
            self._serve(subject, edits, note)
            return
        known = edits.changes()
        versions.lift_sources(subject, edits)
        if edits.changes() > known:
            note("names its claims without source")
        for index in range(len(subject.groups)):
            if self._mode == "claims":
                self._group(subject, index, edits, note, made)
            else:
                self._extend(subject, index, note)

    def _group(self, subject: Subject, index: int, edits: Edits, note: Any, made: list[dict[str, Any]]) -> None:
        group = subject.groups[index]
        line = group.uses[0].key.line if group.uses else group.spec.line
        reason = workloads.refusal(subject, group) or self._shared_gpu(group)
        if reason:
            self.result.refused.append(Note(subject.file, line, subject.title, reason))
            return
        wish = workloads.wish(group)
        if not wish.requests:
            return
        name = self._name(subject)
        workloads.claim(subject, group, wish, name, edits)
        made.append(workloads.template(subject, wish, name))
        self._made = True
        unsure = (
            "" if subject.kind in _TAKES_CLAIMS else f"; check that {subject.kind} knows resourceClaims in its pods"
        )
        if scheduler := workloads.other_scheduler(group):
            unsure += f"; check that {scheduler} allocates claims"
        note(f"claims {', '.join(sorted(wish.classes))} by template {name}{unsure}")
        if any(use.device.sort == "nic" for use in group.uses):
            self.result.refused.append(Note(subject.file, line, subject.title, _NETWORK))

    def _shared_gpu(self, group: Group) -> str:
        """Why a whole GPU may be none: what is migrated here tells the device plugin to share them under their name."""
        if not self._sharing or all(use.resource != "nvidia.com/gpu" for use in group.uses):
            return ""
        return f"asks for nvidia.com/gpu, which is a share of a GPU here ({self._sharing}): choose how to share by hand"

    def _extend(self, subject: Subject, index: int, note: Any) -> None:
        if reason := self._shared_gpu(subject.groups[index]):
            line = subject.groups[index].uses[0].key.line
            self.result.refused.append(Note(subject.file, line, subject.title, reason))
            return
        for use in {use.resource: use for use in subject.groups[index].uses}.values():
            made = extended_class(use.resource)
            if made is None:
                reason = f"asks for {use.resource}, which no DeviceClass can serve one for one"
                self.result.refused.append(Note(subject.file, use.key.line, subject.title, reason))
                continue
            class_name = made["metadata"]["name"]
            if use.resource in self._served or class_name in self._classes:
                continue
            if self._wanted.setdefault(class_name, made) != made:
                other = self._wanted[class_name]["spec"]["extendedResourceName"]
                reason = f"asks for {use.resource}, and DeviceClass {class_name} serves {other}: it can serve one name"
                self.result.refused.append(Note(subject.file, use.key.line, subject.title, reason))
                continue
            note(f"keeps {use.resource}, which DeviceClass {class_name} serves")

    def _serve(self, subject: Subject, edits: Edits, note: Any) -> None:
        """Extended mode: a class that is there already gets the name of the resource it is to serve."""
        resource = self._resources.get(subject.name) if subject.kind == "DeviceClass" else None
        spec = subject.fields.fields("spec")
        if resource and resource not in self._served and not spec.text("extendedResourceName") and spec.entries:
            edits.add(spec, "extendedResourceName", resource)
            note(f"serves {resource}")

    def _name(self, subject: Subject) -> str:
        base = f"{re.sub('[^a-z0-9-]', '-', workloads.base_name(subject))[:50].strip('-')}-devices"
        name, number = base, 2
        while (subject.namespace, name) in self._templates:
            name, number = f"{base}-{number}", number + 1
        self._templates.add((subject.namespace, name))
        return name

    def kustomization(self, name: str, text: str) -> None:
        """What a kustomization lacks for the templates that pods of its folder have now."""
        folder, _, base = name.rpartition("/")
        made = [each for each in self.result.texts if each not in self.result.originals and each != CLASSES]
        if base not in KUSTOMIZATIONS or not self._made:
            return
        root = parse(text).root if not TEMPLATED.search(text) and not self._reports[name].problems else None
        if not isinstance(root, Fields):
            return
        for key in ("namePrefix", "nameSuffix"):
            if root.text(key) and root.get("configurations") is None:
                reason = (
                    f"has a {key}, and kustomize renames templates but not what names them: add nameReference of kind"
                    " ResourceClaimTemplate under `configurations`"
                )
                self.result.refused.append(Note(name, root.key(key).line, "Kustomization", reason))
        for each in made:
            if each.rpartition("/")[0] == folder:
                file = each.rpartition("/")[2]
                self.result.refused.append(Note(name, 1, "Kustomization", f"lacks {file}: add it under `resources`"))

    # ------------------------------------------------------------ classes

    def _want(self, name: str) -> None:
        if name not in self._classes and is_known(name):
            self._wanted.setdefault(name, device_class(name))

    def classes(self) -> None:
        """Write the classes that are missing."""
        if not self._wanted:
            return
        name, number = CLASSES, 2
        while any(each.rpartition("/")[2] == name for each in self.result.originals):
            name, number = CLASSES.replace(".", f"-{number}."), number + 1
        self.result.texts[name] = as_text(self._wanted[each] for each in sorted(self._wanted))
