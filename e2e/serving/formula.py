"""KEDA's formulas, evaluated by expr-lang/expr in the version that KEDA requires."""

import json
import subprocess
from collections.abc import Mapping

from e2e.controlplane import ROOT, ControlPlaneError
from e2e.gobuild import GoError, built

MODULE = ROOT / "e2e" / "serving" / "expr"


def evaluated(formula: str, values: Mapping[str, float]) -> float:
    """The number that KEDA would hand its HPA. Raises AssertionError for a formula that KEDA would refuse."""
    try:
        folder = built("expr", MODULE, {"expr": "."}, ("-trimpath",), "KEDA's formulas are evaluated with it")
    except GoError as error:
        raise ControlPlaneError(str(error)) from error
    asked = json.dumps({"formula": formula, "values": values})
    ran = subprocess.run([folder / "expr"], input=asked, check=False, capture_output=True, text=True, timeout=30)
    assert ran.returncode == 0, f"{formula}: {ran.stderr.strip()}"
    return float(ran.stdout)
