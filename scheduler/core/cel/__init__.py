"""CEL device selectors of Dynamic Resource Allocation (KEP-4381), as Kubernetes 1.37 evaluates them.

    values, semver     the values that expressions compute with
    functions          every operator and function, once, with its overloads
    syntax             text -> checked tree (celpy's grammar; our names, types and cost bound)
    reference          celpy's interpreter on one device: slow and certain
    rowwise, vector    the same tree over the columns of a DeviceTable: the hot path
    selector           what the rest of the core uses

Bounds, in place of the API server's cost budget of 1,000,000, which celpy does not count: 10 KiB of text, 64 levels of
nesting, 10,000 steps (nodes evaluated for one device, nested macros multiplied out, a list of unknown length taken as
64), and 100,000 characters in a computed string. Patterns are RE2. Beyond 300 steps a selector is not vectorised.

Not supported yet, and refused by name when a selector is compiled: map literals, unsigned, bytes, time and type values,
two-variable macros, and the url, ip, cidr, sets, regex find, format and list-statistics libraries.
"""

from scheduler.core.cel.reference import evaluate_scalar
from scheduler.core.cel.selector import Reads, Selector, Verdicts, compile_selector, evaluate_tuple

__all__ = ["Reads", "Selector", "Verdicts", "compile_selector", "evaluate_scalar", "evaluate_tuple"]
