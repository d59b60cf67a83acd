"""The JSON of k8s.io/kube-scheduler/extender/v1, as Go's encoding spells it: fields have their Go names.

Only what is needed is read: of each node its name, and of the pod what `decode` reads. Nodes that were sent whole are
sent back as they came, since kube-scheduler goes on with what it gets.
"""

from collections import Counter
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from scheduler.cluster.decode import decode
from scheduler.core.errors import DecodeError
from scheduler.core.model import Pod

MAX_NODES: Final = 100_000
MAX_NAME: Final = 253
_PLACE: Final = "request"
_NODES_A_STEP: Final = 200
_NOTHING: Final = msgspec.Raw()


class _Metadata(msgspec.Struct):
    name: str = ""


class _Named(msgspec.Struct):
    metadata: _Metadata


class _NodeList(msgspec.Struct):
    items: list[msgspec.Raw] | None = None


class _Args(msgspec.Struct):
    pod: msgspec.Raw = msgspec.field(name="Pod", default=_NOTHING)
    nodes: _NodeList | None = msgspec.field(name="Nodes", default=None)
    node_names: list[str] | None = msgspec.field(name="NodeNames", default=None)


class _Items(msgspec.Struct):
    items: list[msgspec.Raw]


class _FilterResult(msgspec.Struct):
    nodes: _Items | None = msgspec.field(name="Nodes", default=None)
    node_names: list[str] | None = msgspec.field(name="NodeNames", default=None)
    failed: Mapping[str, str] | None = msgspec.field(name="FailedNodes", default=None)
    hopeless: Mapping[str, str] | None = msgspec.field(name="FailedAndUnresolvableNodes", default=None)
    error: str = msgspec.field(name="Error", default="")


class _Priority(msgspec.Struct, gc=False):
    host: str = msgspec.field(name="Host")
    score: int = msgspec.field(name="Score")


_args: Final = msgspec.json.Decoder(_Args)
_named: Final = msgspec.json.Decoder(_Named)
_encode: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Question:
    """ExtenderArgs. whole : the nodes as they were sent, in the order of `names`; None where only names were."""

    pod: Pod
    names: Sequence[str]
    whole: Sequence[msgspec.Raw] | None = None


def read(body: bytes) -> Question:
    """What is asked. Raises DecodeError for whatever kube-scheduler would not send."""
    steps = reading(body)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            found: Question = done.value
            return found


def reading(body: bytes) -> Generator[None, None, Question]:
    """`read` in steps of a millisecond or two, but for the first, which takes about one a megabyte."""
    try:
        args = _args.decode(body)
    except RecursionError as error:
        raise DecodeError(_PLACE, "is nested too deeply", "send ExtenderArgs") from error
    except (msgspec.MsgspecError, ValueError) as error:
        raise DecodeError(_PLACE, f"is not ExtenderArgs in JSON ({_short(error)})", "send ExtenderArgs") from error
    if bytes(args.pod) in {b"", b"null"}:
        raise DecodeError(f"{_PLACE}.Pod", "is missing", "send a whole v1.Pod")
    if (args.nodes is None) == (args.node_names is None):
        said = "both are given" if args.nodes is not None else "both are missing"
        raise DecodeError(f"{_PLACE}.Nodes and .NodeNames", said, "send one of them")
    names, whole = args.node_names or [], None
    if args.nodes is not None:
        whole = args.nodes.items or []
        for at, item in enumerate(whole):
            if at % _NODES_A_STEP == 0:
                yield
            names.append(_name(at, item))
    _check(names)
    pod = decode("Pod", args.pod)
    assert isinstance(pod, Pod)
    return Question(pod, names, whole)


def _name(at: int, node: msgspec.Raw) -> str:
    try:
        return _named.decode(node).metadata.name
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise DecodeError(f"{_PLACE}.Nodes.items[{at}]", f"is not a node ({_short(error)})") from error


def _check(names: Sequence[str]) -> None:
    if len(names) > MAX_NODES:
        raise DecodeError(_PLACE, f"is about {len(names)} nodes", f"ask about {MAX_NODES} at most")
    if len(distinct := set(names)) < len(names):
        twice, _ = Counter(names).most_common(1)[0]
        raise DecodeError(_PLACE, f"names node {twice[:MAX_NAME]!r} twice", "name each node once")
    longest = max(map(len, names), default=1)
    if longest > MAX_NAME or "" in distinct:
        length = longest if longest > MAX_NAME else 0
        raise DecodeError(_PLACE, f"has a node name of {length} characters", f"they have 1 to {MAX_NAME}")


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def filter_result(
    question: Question, kept: Sequence[str], failed: Mapping[str, str], hopeless: Mapping[str, str]
) -> bytes:
    """ExtenderFilterResult, with nodes in the form in which they were asked about."""
    if question.whole is None:
        return _encode(_FilterResult(node_names=list(kept), failed=failed, hopeless=hopeless))
    wanted = set(kept)
    items = [item for name, item in zip(question.names, question.whole, strict=True) if name in wanted]
    return _encode(_FilterResult(nodes=_Items(items), failed=failed, hopeless=hopeless))


def filter_error(text: str) -> bytes:
    """ExtenderFilterResult that says only why there is none."""
    return _encode(_FilterResult(error=text))


def priorities(names: Iterable[str], points: Iterable[int]) -> bytes:
    """HostPriorityList."""
    return _encode(list(map(_Priority, names, points)))
