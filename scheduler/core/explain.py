"""A Decision as data and as text."""

import json
from collections.abc import Mapping
from functools import lru_cache
from json.encoder import encode_basestring_ascii as _quoted
from typing import Any

from scheduler.core.plan import REMOTE, Decision, Heard, Option
from scoring.scorers import SCORERS

_COMPACT = json.JSONEncoder(separators=(",", ":"))


def to_dict(decision: Decision, *, weights: bool = True, heard: bool = True) -> dict[str, Any]:
    """As the annotation `dovetail.scheduler/explain` carries it, with all that scorers of others said; on demand
    without that or without its weights.
    """
    found: dict[str, Any] = json.loads(to_json(decision))
    if heard and decision.remote:
        found["remote"] = [_heard(each, scores=True) for each in decision.remote]
    if not weights:
        del found["weights"]
    return found


def to_json(decision: Decision) -> str:
    """Compact, and without all that scorers of others said. Every pod gets it, and most numbers in it are those of pods
    before, so it is put together from parts that are kept."""
    parts = [
        f'{{"pod":{_quoted(decision.pod)},"nodes":{decision.nodes},"feasibleNodes":{decision.feasible_nodes}',
        f'"winner":{_encoded_option(decision.winner)}',
        f'"profile":{_quoted(decision.profile)}',
    ]
    for name, text in (("config", decision.config), ("ignored", decision.ignored), ("window", decision.window)):
        if text:
            parts.append(f'"{name}":{_quoted(text)}')
    if decision.remote:
        parts.append(f'"remote":{_COMPACT.encode([_heard(each, scores=False) for each in decision.remote])}')
    if decision.runner_up is not None:
        parts.append(f'"runnerUp":{_encoded_option(decision.runner_up)}')
    return f'{",".join(parts)},"weights":{_encoded(*decision.weights.items())}}}'


def _encoded_option(option: Option) -> str:
    devices = ",".join([_quoted("/".join(device)) for device in option.devices])
    scores = _encoded_scores(*option.scores.items())
    truncated = ',"truncated":true' if option.truncated else ""
    return (
        f'{{"node":{_quoted(option.node)},"devices":[{devices}],"total":{round(option.total, 4)!r},'
        f'"scores":{scores},"links":{_quoted(option.links)}{truncated}}}'
    )


@lru_cache(maxsize=64)
def _encoded(*weights: tuple[str, float]) -> str:
    return _COMPACT.encode(dict(weights))


@lru_cache(maxsize=1024)
def _encoded_scores(*scores: tuple[str, float]) -> str:
    return _COMPACT.encode({name: round(score, 4) for name, score in scores})


def _heard(heard: Heard, *, scores: bool) -> dict[str, Any]:
    said: dict[str, Any] = {"scorer": heard.scorer, "weight": heard.weight}
    if heard.problem:
        return {**said, "absent": heard.problem}
    return {**said, "scores": dict(heard.scores)} if scores else said


def heard_of(decision: Mapping[str, Any]) -> tuple[Heard, ...]:
    """What scorers of others said, from what `to_dict` made with it."""
    return tuple(
        Heard(str(each["scorer"]), float(each["weight"]), each.get("scores", {}), str(each.get("absent", "")))
        for each in decision.get("remote", ())
    )


def render(decision: Mapping[str, Any]) -> str:
    """A decision as a person reads it, from what `to_dict` made."""
    winner = decision["winner"]
    other = decision.get("runnerUp")
    weights = decision["weights"]
    lines = [
        f"{decision['pod']} -> {winner['node']}  ({decision['feasibleNodes']} of {decision['nodes']} nodes fit)",
        *(f"  {device}" for device in winner["devices"]),
        f"  links learned from {winner['links'] or 'nothing'}",
        f"  weights of profile {decision.get('profile', 'unknown')}"
        + (f", configuration {decision['config']}" if decision.get("config") else ""),
        *([f"  not followed: {decision['ignored']}"] if decision.get("ignored") else []),
        *([f"  decided together: {decision['window']}"] if decision.get("window") else []),
        "",
        f"{'score':<13} {'weight':>6} {winner['node']:>18}" + (f" {other['node']:>18}" if other else ""),
    ]
    for scorer in SCORERS:
        if scorer.name not in winner["scores"]:  # one of weight 0 is not asked
            continue
        row = f"{scorer.name:<13} {weights[scorer.name]:>6g} {winner['scores'][scorer.name]:>18.3f}"
        if other:
            row += f" {other['scores'][scorer.name]:>18.3f}"
        lines.append(f"{row}  {scorer.says}")
    for each in decision.get("remote", ()):
        name = f"{REMOTE}{each['scorer']}"
        if "absent" in each:
            lines.append(f"{name} counts nowhere: {each['absent']}")
            continue
        row = f"{name:<13} {each['weight']:>6g}"
        for option in (winner, other):
            score = option["scores"].get(name) if option else None
            row += f" {score:>18.3f}" if score is not None else ""
        lines.append(f"{row}  a scorer of somebody else")
    total = f"{'total':<13} {'':>6} {winner['total']:>18.3f}"
    lines.append(total + (f" {other['total']:>18.3f}" if other else ""))
    if other and other["devices"]:
        lines += ["", f"next best: {other['node']} with {', '.join(other['devices'])}"]
    if winner.get("truncated"):
        lines.append("the devices were chosen among a sample of the possible sets")
    return "\n".join(lines)
