"""A choice of a class of pods as everybody else reads it: by names."""

from scheduler.core.candidates import Choice
from scheduler.core.plan import Option
from scheduler.core.state import State


def name_of(state: State, choice: Choice) -> str:
    """The name of its node."""
    node = state.nodes.nodes[choice.row]
    return node.name if node is not None else ""


def option_of(state: State, choice: Choice) -> Option:
    """Node, devices and scores."""
    devices = []
    for rows in choice.devices:
        for row in rows:
            item, device = state.row_device[row]
            devices.append((item.driver, item.pool, device.name))
    return Option(name_of(state, choice), tuple(devices), choice.total, choice.scores, choice.links, choice.truncated)
