"""What speaks against a device that can be had all the same."""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Flaws = NDArray[np.int8]
"""A Flaw per device."""


class Flaw(IntEnum):
    """NOTED: it has a taint that keeps nobody off. REPELLING: a taint of effect NoSchedule, which is tolerated.
    EVICTING: one of effect NoExecute, which is tolerated. BROKEN: its driver publishes that it is not healthy.
    """

    NONE = 0
    NOTED = 1
    REPELLING = 2
    EVICTING = 3
    BROKEN = 4
