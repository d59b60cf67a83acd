"""YAML texts inside API objects, read so that no text can do harm."""

from typing import Any, Final

import yaml

MAX_CHARACTERS: Final = 2**19
MAX_DEPTH: Final = 20


def read_yaml(text: str) -> Any:
    """What a text of one YAML document holds, None for an empty one. Raises ValueError, which says why not."""
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"is longer than {MAX_CHARACTERS} characters")
    try:
        # Composing recurses in C, where a deep text ends the process; its events come one after another.
        depth = 0
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise ValueError(f"is nested more than {MAX_DEPTH} levels deep")
            if isinstance(event, yaml.AliasEvent):
                raise ValueError(f"uses alias {event.anchor!r}: write it out")
    except yaml.YAMLError as error:
        raise ValueError(f"is not YAML ({' '.join(str(error).split())[:300]})") from None
    try:
        return yaml.load(text, Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, ValueError, TypeError, OverflowError) as error:
        # A tag that is not plain, a date that does not exist, a mapping as a key, a number without end.
        raise ValueError(f"is not YAML that can be used ({' '.join(str(error).split())[:300]})") from None
