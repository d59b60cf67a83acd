"""`dovetail config check` and `dovetail config schema`: a configuration seen without a cluster.

The schema lies beside this module, so that editors can be pointed at it; run this module to write it anew.
"""

import json
import sys
from pathlib import Path
from typing import Any, Final

from scheduler.core import names
from scheduler.core.errors import ConfigError
from scheduler.service.settings import LARGEST, SchedulerConfig, parse, read_text

SCHEMA: Final = Path(__file__).with_name("config.schema.json")


def check(file: Path, *, show: bool) -> int:
    """Print the hash of a configuration, or what is wrong with it. Returns the exit code: 0, or 2 if it is refused.

    Variables do not count here: a file means the same wherever it is checked.
    """
    try:
        found = parse(sys.stdin.read(4 * LARGEST), "standard input", {}) if str(file) == "-" else _of(file)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except UnicodeDecodeError as error:
        print(f"standard input: is not UTF-8 (byte {error.start + 1})", file=sys.stderr)
        return 2
    if show:
        print(json.dumps(found.effective(), indent=2))
    print(f"config hash {found.digest()}", file=sys.stderr if show else sys.stdout)
    return 0


def _of(file: Path) -> SchedulerConfig:
    return parse(read_text(file), str(file), {})


def schema() -> dict[str, Any]:
    """The JSON schema of a SchedulerConfig file, as the models say it."""
    made = SchedulerConfig.model_json_schema(by_alias=True)
    group = names.CONFIG_API_VERSION.partition("/")[0]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:{group}:{names.CONFIG_KIND}",
        **made,
    }


def text() -> str:
    """The schema as it is written to the file."""
    return json.dumps(schema(), indent=2, ensure_ascii=True) + "\n"


if __name__ == "__main__":
    SCHEMA.write_text(text(), encoding="utf-8")
