"""Device plugin and DRA side by side, and claims that should be one."""

from collections.abc import Iterator
from typing import Final

from scheduler.audit.rules.base import Context, Hit
from scheduler.audit.subjects import Subject, pods
from scheduler.audit.tree import Fields

_CHANNELS: Final = "compute-domain"
_DEVICES: Final = frozenset({"gpu", "mig", "shared"})


def _classes(entry: Fields, subject: Subject, context: Context) -> frozenset[str] | None:
    template = entry.text("resourceClaimTemplateName") or entry.fields("source").text("resourceClaimTemplateName")
    if template:
        return context.classes_of("ResourceClaimTemplate", subject.namespace, template)
    claim = entry.text("resourceClaimName") or entry.fields("source").text("resourceClaimName")
    return context.classes_of("ResourceClaim", subject.namespace, claim)


def _may_hold_gpus(classes: frozenset[str] | None, entry: Fields) -> bool:
    """Whether a claim may be for what the device plugin serves too: channels and network devices are not."""
    if classes is None:
        words = " ".join(value for key in entry.entries if (value := entry.text(key)))
        return not any(hint in words for hint in ("channel", "compute-domain", "imex", "nic", "rdma", "net"))
    return any(_CHANNELS not in each and ("gpu" in each or "mig" in each or "nvidia" in each) for each in classes)


def both(subject: Subject, context: Context) -> Iterator[Hit]:
    """MIX001."""
    for group in pods(subject):
        uses = [use for use in group.uses if use.device.sort in _DEVICES]
        for entry in group.claims if uses else ():
            if _may_hold_gpus(_classes(entry, subject, context), entry):
                yield Hit("MIX001", uses[0].key, f"{uses[0].resource}, and claim {entry.text('name')}")
                break


def scattered(subject: Subject, _context: Context) -> Iterator[Hit]:
    """MIX002: several claims of templates in one pod, those for channels aside."""
    for group in pods(subject):
        entries = [
            entry
            for entry in group.claims
            if (template := entry.text("resourceClaimTemplateName"))
            and not any(hint in template + entry.text("name") for hint in ("channel", "compute-domain", "imex"))
        ]
        if len(entries) > 1:
            names = ", ".join(entry.text("name") for entry in entries[:8])
            yield Hit("MIX002", entries[1], names)


def elsewhere(subject: Subject, context: Context) -> Iterator[Hit]:
    """OPS005."""
    for group in pods(subject):
        for entry in group.claims:
            name = entry.text("resourceClaimTemplateName")
            found = context.elsewhere("ResourceClaimTemplate", subject.namespace, name) if name else []
            if found:
                yield Hit("OPS005", entry, f"{name} is in {', '.join(found[:5])}, the pods are in {subject.namespace}")


RULES: Final = (both, scattered, elsewhere)
