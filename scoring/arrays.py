"""Array types with their dtype, under the names used everywhere.

Axes have letters: N nodes, D devices, R requests, C candidates, K slots, S scorers, n devices of one node.
"""

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int32]
Counts = NDArray[np.int64]
Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]
