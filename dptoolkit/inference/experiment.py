"""An experiment: a detector and what happens in it; inference knows no more of them than this."""

from typing import Any, Protocol, runtime_checkable

import equinox as eqx
from jaxtyping import Array

from dptoolkit.inference.alignment import Observables
from dptoolkit.params import Component


@runtime_checkable
class Detector(Protocol):
    """What a detector offers to a problem.

    For `sequential` losses it also has `given(layout, observed)`: the layout for predictions of everything
    given what was observed before it.
    """

    def layout(self, inputs: Any, /) -> Any:
        """Shapes and index tables for concrete inputs; on the host."""
        ...

    def __call__(self, inputs: Any, /, key: Array | None = None, layout: Any = None) -> Observables: ...


@runtime_checkable
class Source(Protocol):
    """What makes the inputs of a detector."""

    def __call__(self) -> Any: ...


class Experiment(Component):
    """The instrument and what happened in it: one pytree."""

    detector: Detector
    source: Source

    def layout(self) -> Any:
        """Index tables of the events at hand."""
        return self.detector.layout(made(self.source))

    def __call__(self, key: Array | None = None, layout: Any = None) -> Observables:
        return self.detector(self.source(), key=key, layout=layout)


@eqx.filter_jit
def made(source: Source) -> Any:
    """The inputs of a detector; compiled, for a source may be many small operations."""
    return source()


class Batch(eqx.Module):
    """Events that are computed at once: their source, its layout, and data and prediction on equal rows."""

    source: Source
    layout: Any
    extra: Observables
    observed: Observables
    share: Array
    """Of the loss's prior that is counted here: all batches of a problem count it once, together."""
