"""Compiles the core with mypyc, for wheels (`HATCH_BUILD_HOOKS_ENABLE=1`) and in place (`python hatch_build.py`).

What is compiled behaves as its sources do, only faster; without it everything runs as well.
"""

import os
import time
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent
WORK = ROOT / "build" / "native"
GROUP = "dovetail"  # of the library that holds all of them
FOLDERS = ("scheduler/core", "scheduler/core/rules", "scheduler/core/solvers")
INTERPRETED = {
    "scheduler/core/opinions.py",  # a subclass of list
}


def modules() -> list[str]:
    """What is compiled, as paths from the root."""
    found = sorted(str(path.relative_to(ROOT)) for folder in FOLDERS for path in (ROOT / folder).glob("*.py"))
    return [path for path in found if not path.endswith("__init__.py") and path not in INTERPRETED]


def compile_into(place: Path) -> None:
    """Leave the compiled modules in `place`; only what changed since the last time is compiled."""
    from mypyc.build import mypycify  # noqa: PLC0415
    from setuptools import Distribution  # noqa: PLC0415

    before, begun = Path.cwd(), time.time()
    os.chdir(ROOT)
    try:
        extensions = mypycify(
            modules(), opt_level="2", debug_level="0", multi_file=True, group_name=GROUP, target_dir=str(WORK / "c")
        )
        build = Distribution({"name": GROUP, "ext_modules": extensions}).get_command_obj("build_ext")
        build.build_lib, build.build_temp = str(place), str(WORK / "o")
        build.ensure_finalized()
        build.run()
    finally:
        os.chdir(before)
    wanted = set(modules())
    for compiled in [path for folder in FOLDERS for path in (place / folder).glob("*.so")]:
        source = compiled.with_name(f"{compiled.name.partition('.')[0]}.py").relative_to(place)
        if str(source) in wanted:
            os.utime(compiled, (begun, begun))  # even if nothing changed; what is edited meanwhile is younger
        else:
            compiled.unlink()


class Native(BuildHookInterface):  # type: ignore[type-arg]
    """Puts the compiled core into a wheel."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, unless the wheel is one that points here."""
        if self.target_name != "wheel" or version != "standard":
            return
        place = WORK / "lib"
        compile_into(place)
        build_data["pure_python"], build_data["infer_tag"] = False, True
        for path in place.rglob("*.so"):
            build_data["force_include"][str(path)] = str(path.relative_to(place))


if __name__ == "__main__":
    compile_into(ROOT)
