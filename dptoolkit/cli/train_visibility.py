"""`train-visibility`: a network for the visibility of argon light, from a table that photons fill."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from dptoolkit.atomic import write_text
from dptoolkit.cli.describe import parse_assignments
from dptoolkit.cli.options import MAX_SEED, DetectorName, Folder, Force, Resume, results_folder
from dptoolkit.cli.output import as_json, busy, progress
from dptoolkit.cli.shell import say

SAVE_EVERY = 30.0
"""[s]: between checkpoints."""
PASSES, FEWEST = 30, 100
"""Passes over the table in a training, and the steps that it takes at least: more would learn its noise."""
FILES = ("table.h5", "table.h5.partial", "network.h5", "checkpoint.npz", "result.json", "report.html")


def train_visibility(
    detector: DetectorName,
    table: Annotated[
        Path | None,
        typer.Argument(metavar="[TABLE]", help="A table made before; default: photons fill one."),
    ] = None,
    output: Folder = None,
    prior: Annotated[
        bool, typer.Option("--prior/--no-prior", help="Whether the network multiplies a closed formula.")
    ] = True,
    steps: Annotated[
        int | None,
        typer.Option("--steps", min=1, help=f"Of the training; default: {PASSES} passes over the table."),
    ] = None,
    voxel: Annotated[
        str | None, typer.Option("--voxel", metavar="LENGTH", help="Of a new table, about; default: 1 cm.")
    ] = None,
    photons: Annotated[
        int | None,
        typer.Option("--photons", min=1, metavar="N", help="From every voxel of a new table; default: 256."),
    ] = None,
    estimator: Annotated[
        str | None,
        typer.Option(
            "--estimator",
            metavar="WHICH",
            help="Of a new table: expected, at every vertex (default); or photons, counted one by one.",
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="Optics of a new table: reflectivity=0.2; repeatable."
        ),
    ] = None,
    check: Annotated[
        int, typer.Option("--check", min=1, metavar="N", help="Points whose own photons check the result.")
    ] = 1024,
    seed: Annotated[int, typer.Option("--seed", min=0, max=MAX_SEED, help="Of photons and weights.")] = 0,
    resume: Resume = False,
    force: Force = False,
) -> None:
    """Train a network that says which light of a drift volume each collector sees.

    Photons of argon (absorbed, scattered, reflected by the walls) fill a table of voxels; the network learns
    what it multiplies a closed formula by; photons from other points check it. Writes table.h5, network.h5,
    result.json and report.html into FOLDER. A detector takes the network as the visibility of its light:

      visibility: {type: SirenVisibility, file: visibility/network.h5}

    After Ctrl-C what there is of the table and the training is kept; --resume goes on there.

    [bold]Examples[/bold]

      dptoolkit train-visibility --detector 2x2 -o visibility

      dptoolkit train-visibility visibility/table.h5 -d 2x2 --no-prior -o without
    """
    output = _folder(output, resume, force)
    from dptoolkit.cache import enable_compilation_cache

    enable_compilation_cache()
    with busy("building the detector"):
        light, box, size = _light_of(detector)
        if table is None:
            filling = _filling(light, box, estimator or "expected", photons or 256, seed, set_ or [])
        else:
            asked = {"--voxel": voxel, "--photons": photons, "--estimator": estimator, "--set": set_}
            filling = _given(table, box, asked)
        shape = _shape(voxel or "1 cm", size)
    _emptied(output, resume, table)
    if table is None:
        table = _filled(output / "table.h5", filling, size, shape)
    job = _Job(output, table, filling, _training(table, steps, seed), prior)
    state, seconds = job.train()
    job.write({"detector": detector, "seed": str(seed)}, state, seconds, check)


def _folder(output: Path | None, resume: bool, force: bool) -> Path:
    """Where the results go; nothing is made or removed yet."""
    output = results_folder(output)
    if any((output / name).exists() for name in FILES) and not (resume or force):
        raise ValueError(f"{output}: holds a visibility; go on with --resume, replace it with --force")
    return output


def _emptied(output: Path, resume: bool, table: Path | None) -> None:
    output.mkdir(exist_ok=True)
    for path in () if resume else (output / name for name in FILES):
        if table is None or not path.exists() or not path.samefile(table):
            path.unlink(missing_ok=True)


def _light_of(detector: str) -> tuple[Any, Any, Any]:
    """(the light of a detector, the box of a drift volume, its size [cm])."""
    import numpy as np

    from dptoolkit.config import load_tpc_with_light
    from dptoolkit.light.box import LightBox

    model = load_tpc_with_light(detector)
    sizes = model.volumes.high - model.volumes.low
    if np.ptp(sizes, axis=0).max() > 1e-3:
        raise ValueError(f"detector {model.name!r}: drift volumes differ in size; expected equal ones")
    light: Any = model.light
    return light, LightBox.around(sizes[0], light.plates), sizes[0]


def _filling(light: Any, box: Any, estimator: str, photons: int, seed: int, assignments: list[str]) -> Any:
    """Photons in what the detector says of its argon, and --set."""
    from dptoolkit.light.argon_optics import ArgonOptics
    from dptoolkit.params import infos, replace
    from dptoolkit.surrogates.table import Filling

    known = infos(light.visibility)
    shared = {path: known[path].value for path in infos(ArgonOptics()) if path in known}
    optics = replace(replace(ArgonOptics(), shared), parse_assignments(assignments))
    return Filling(box, optics, estimator, photons, seed)


def _given(table: Path, box: Any, asked: dict[str, Any]) -> Any:
    """How the photons of an existing table were made; nothing can be asked of them any more."""
    from dptoolkit.surrogates.table import filling_of

    for option, value in asked.items():
        if value is not None:
            raise typer.BadParameter(f"{option} is for a new table; leave it out, or leave out {table}")
    return filling_of(table, box)


def _shape(voxel: str, size: Any) -> tuple[int, int, int]:
    """Voxels along each axis."""
    from dptoolkit import units

    try:
        length = units.parse(voxel, "cm")
    except ValueError as error:
        raise ValueError(f"--voxel: {error}") from None
    if not length > 0:
        raise ValueError(f"--voxel {voxel}: expected a positive length such as '2 cm'")
    x, y, z = (max(round(float(side) / length), 2) for side in size)
    return x, y, z


def _filled(path: Path, filling: Any, size: Any, shape: tuple[int, int, int]) -> Path:
    """The table, made or completed."""
    from dptoolkit.surrogates.table import fill

    say(f"filling a table of {' x '.join(map(str, shape))} voxels, {filling.photons} photons from each")
    with progress("filling the table") as advance:
        try:
            return fill(path, filling, -size / 2, size / 2, shape, advance)
        except KeyboardInterrupt:
            say(f"{path}.partial: has the voxels so far; --resume goes on there")
            raise


def _training(table: Path, steps: int | None, seed: int) -> Any:
    from dptoolkit.surrogates.table import VisibilityTable
    from dptoolkit.surrogates.train import Training

    passes = PASSES * len(VisibilityTable.mapped(table)) // Training.batch
    return Training(steps=steps or max(passes, FEWEST), seed=seed)


class _Job:
    """A table and the training of a network on it."""

    def __init__(self, output: Path, table: Path, filling: Any, training: Any, prior: bool):
        import json
        from dataclasses import asdict

        from dptoolkit.light.visibility import ScatteredSource, Uniform
        from dptoolkit.params import infos, replace
        from dptoolkit.surrogates.table import VisibilityTable, plan_of
        from dptoolkit.surrogates.train import begin

        self.output, self.filling, self.training = output, filling, training
        self.plates, self.table = filling.box.plates, VisibilityTable.mapped(table)
        optics = {path: info.value for path, info in infos(filling.optics).items()}
        guess = ScatteredSource() if prior else Uniform()
        guess = replace(guess, {path: value for path, value in optics.items() if path in infos(guess)})
        self.settings = {**asdict(training), "prior": type(guess).__name__}
        self.plan = json.dumps([self.settings, plan_of(table)])
        self.start, self.state = begin(self.table, guess, self.plates, training)

    def visibility(self, state: Any) -> Any:
        """The network where the training stands."""
        import equinox as eqx

        return eqx.tree_at(lambda v: v.network, self.start, state.network)

    def keep(self, state: Any) -> None:
        """On disk."""
        from dptoolkit.surrogates.train import save_state

        save_state(self.output / "checkpoint.npz", state, self.plan)
        self.visibility(state).save(self.output / "network.h5")

    def train(self) -> tuple[Any, float]:
        """(where it ends, seconds it took); what exists is kept if it is interrupted."""
        from dptoolkit.surrogates.train import load_state, train

        now, checkpoint = self.state, self.output / "checkpoint.npz"
        if checkpoint.exists():
            now = load_state(checkpoint, self.state, self.plan)
        weights, values = self.start.network.size, 2 * self.table.size
        say(f"training {weights} weights on {values} numbers, {values / weights:.1f} times as many")
        began = saved = time.monotonic()
        with progress("training") as advance:

            def tell(state: Any, loss: float) -> None:
                nonlocal now, saved
                now = state
                advance(int(state.step), self.training.steps)
                if time.monotonic() - saved > SAVE_EVERY:
                    saved = time.monotonic()
                    self.keep(now)
                    say(f"step {int(now.step)} of {self.training.steps}   deviance {loss:.6g}")

            try:
                now = train(self.table, self.start, self.plates, self.training, now, tell)
            except BaseException:
                self.keep(now)
                say(f"{self.output}: has what exists after {int(now.step)} steps; --resume goes on there")
                raise
        self.keep(now)
        return now, time.monotonic() - began

    def write(self, facts: dict[str, str], state: Any, seconds: float, n_points: int) -> None:
        """result.json and report.html."""
        from dptoolkit.surrogates.accuracy import Check
        from dptoolkit.views.visibility import share, visibility_report

        visibility, weights = self.visibility(state), self.start.network.size
        say(f"checking with photons from {n_points} other points")
        with busy("checking"):
            check = Check(self.filling, self.table.low, self.table.high, n_points)
            shown = {"network": visibility, "prior": self.start.prior, "table": self.table}
            found = {name: check(one) for name, one in shown.items()}
        document = {
            **facts,
            "settings": self.settings,
            "voxels": list(self.table.seen.shape[:3]),
            "collectors": len(self.plates),
            "weights": weights,
            "table_values": 2 * self.table.size,
            "steps": int(state.step),
            "seconds": seconds,
            "least_visibility": found["network"].least,
            "accuracy": {name: one.summary() for name, one in found.items()},
        }
        write_text(self.output / "result.json", as_json("visibility", document))
        facts = {**facts, "steps": str(int(state.step)), "weights": str(weights), "seconds": f"{seconds:.0f}"}
        page = visibility_report(visibility, self.table, self.plates, found, facts)
        write_text(self.output / "report.html", page)
        for name, one in found.items():
            numbers = one.summary()
            say(
                f"{name:8s} mean bias at most {numbers['mean_bound']:.2%} (with the noise of the photons "
                f"{numbers['mean_bias']:.2%}, of these alone {numbers['noise']:.2%})   gradient "
                f"{share(numbers['gradient_error'])}"
            )
        network, guess = (found[name].mean_bound for name in ("network", "prior"))
        if network > guess:
            say("WARNING: the network is worse than its prior: give the table more photons or finer voxels")
        say(f"{self.output / 'report.html'}: written")
