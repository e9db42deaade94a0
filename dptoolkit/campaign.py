"""A campaign of calibrations: a recipe that any process can follow, one toy for a seed."""

import hashlib
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from dptoolkit.cache import enable_compilation_cache
from dptoolkit.calibrate import Calibration, Toy, batches_of, calibrate, truth_of
from dptoolkit.config import from_yaml, tpc
from dptoolkit.events import Segments
from dptoolkit.inference.campaign import ToyFit
from dptoolkit.inference.losses import loss_of


@dataclass(frozen=True)
class Recipe:
    """How the toys of a campaign are made and fitted: all that matters but the seed."""

    detector: str
    """YAML text."""
    data: str
    """File of segments; every worker must find it."""
    free: tuple[str, ...] = ()
    truth: tuple[tuple[str, float], ...] = ()
    """Fixed true values; those of other free parameters are drawn anew for every toy."""
    start: tuple[tuple[str, Any], ...] = ()
    noise: bool = True
    events: str = ":"
    place: str = "auto"
    seed: int = 0
    """Of random places, which all toys share."""
    method: str = "gauss-newton"
    loss: str = "auto"

    def __call__(self, seed: int) -> ToyFit:
        """The fit of one toy."""
        calibration, batches, numbers, _ = _prepared(self)
        truth = truth_of(calibration.detector, calibration.paths, seed, dict(self.truth))
        toy = Toy(calibration.detector, truth, self.noise, seed)
        observed = [toy.observe(batch, number) for batch, number in zip(batches, numbers, strict=True)]
        problem = calibration.problem(batches, observed)
        if self.loss != "auto":
            problem = problem.with_loss(loss_of(self.loss))
        return ToyFit.of(problem, calibrate(problem, method=self.method), toy.truth, seed)

    @property
    def notes(self) -> list[str]:
        """Where the events lie in the detector."""
        return _prepared(self)[3]

    def settings(self) -> dict[str, Any]:
        """What two runs of one campaign share, for a file."""
        shared = asdict(self)
        shared["detector"] = from_yaml(self.detector).name
        shared["detector_digest"] = hashlib.sha256(self.detector.encode()).hexdigest()[:16]
        shared["data"] = Path(self.data).name
        shared["data_digest"] = hashlib.sha256(Path(self.data).read_bytes()).hexdigest()[:16]
        lists = {name: [list(pair) for pair in shared[name]] for name in ("truth", "start")}
        return {**shared, **lists, "free": list(self.free)}


@lru_cache(maxsize=1)
def _prepared(recipe: Recipe) -> tuple[Calibration, list[Segments], list[int], list[str]]:
    """Read and built once in every process."""
    enable_compilation_cache()
    detector = tpc(from_yaml(recipe.detector))
    calibration = Calibration(detector, list(recipe.free), recipe.noise, dict(recipe.start))
    where = {"events": recipe.events, "how": recipe.place, "seed": recipe.seed}
    return calibration, *batches_of(recipe.data, detector, **where)
