"""Classes of events for an information budget."""

import numpy as np

from dptoolkit.calibrate import classes_of
from dptoolkit.detector import LArTPC
from dptoolkit.events import segments_from_arrays


def test_batches_are_classed_by_angle_and_distance_of_half_of_their_energy(small_pixel: LArTPC):
    volumes = small_pixel.volumes
    drift, up = volumes.drift[0], volumes.up[0]
    middle = 0.6 * volumes.low[0] + 0.4 * volumes.high[0]
    along = segments_from_arrays(middle[None], (middle + 0.3 * drift)[None], np.array([0.6]))
    across = segments_from_arrays(middle[None], (middle + 0.3 * up)[None], np.array([0.6]))
    found = classes_of([along, across], small_pixel)
    assert found["angle to the drift"] == ["0 to 35 degrees", "60 to 90 degrees"]
    assert len(set(found["drift distance"])) == 1 and found["drift distance"][0].endswith(" cm")
