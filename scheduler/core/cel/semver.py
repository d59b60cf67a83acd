"""Semantic versions as Kubernetes' CEL library reads and orders them (SemVer 2.0: build metadata does not count)."""

import re
from functools import lru_cache, total_ordering

_NUMBER = r"(?:0|[1-9][0-9]*)"
_LABEL = rf"(?:{_NUMBER}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_PATTERN = re.compile(
    rf"({_NUMBER})\.({_NUMBER})\.({_NUMBER})(?:-({_LABEL}(?:\.{_LABEL})*))?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?",
    re.ASCII,
)
_LIMIT = 2**64  # each number is an unsigned 64-bit one


@total_ordering
class Semver:
    """A version; equal and ordered by SemVer 2.0 precedence."""

    __slots__ = ("_key", "major", "minor", "patch", "text")

    def __init__(self, major: int, minor: int, patch: int, labels: tuple[int | str, ...], text: str) -> None:
        self.text = text
        self.major, self.minor, self.patch = major, minor, patch
        ranks = tuple((0, label, "") if isinstance(label, int) else (1, 0, label) for label in labels)
        # A version without labels comes after all of its pre-releases.
        self._key = (major, minor, patch, not labels, ranks)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Semver) and self._key == other._key

    def __lt__(self, other: "Semver") -> bool:
        return self._key < other._key

    def __hash__(self) -> int:
        return hash(self._key)


@lru_cache(maxsize=4096)
def parse_semver(text: str) -> Semver | None:
    """A strict semantic version, None if the text is not one."""
    found = _PATTERN.fullmatch(text)
    if found is None:
        return None
    labels = tuple(int(label) if label.isdigit() else label for label in (found[4] or "").split(".") if label)
    numbers = [int(found[i]) for i in (1, 2, 3)] + [label for label in labels if isinstance(label, int)]
    if max(numbers) >= _LIMIT:
        return None
    return Semver(numbers[0], numbers[1], numbers[2], labels, text)


def normalise_semver(text: str) -> Semver | None:
    """A version written loosely: `v` in front, leading zeros, or fewer than three numbers. None if it is not one."""
    parts = text.removeprefix("v").split(".", 2)
    for i, part in enumerate(parts):
        if len(part) > 1:
            bare = part.lstrip("0")
            parts[i] = bare if bare and bare[0] in "0123456789" else "0" + bare
    if len(parts) < 3 and any(c in parts[-1] for c in "+-"):
        return None
    return parse_semver(".".join(parts + ["0"] * (3 - len(parts))))
