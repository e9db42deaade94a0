"""An information budget: which class of events tells what about which parameter, and what to collect next.

The Fisher matrices of batches of events add up, so what a class knows alone, and what is left without it,
follow from the matrices that the fit has made anyway.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dptoolkit.inference.evaluation import Vector
from dptoolkit.inference.problem import Problem
from dptoolkit.inference.uncertainty import from_information


@dataclass(frozen=True)
class Budget:
    """Standard errors of the parameters, from all events and from classes of them; infinite: undetermined."""

    names: tuple[str, ...]
    """Of the parameters (k)."""
    errors: np.ndarray
    """From all events (k)."""
    labels: tuple[str, ...]
    """Of the classes (c)."""
    batches: tuple[int, ...]
    """Batches of events in every class (c)."""
    alone: np.ndarray
    """From the events of a class alone (c, k)."""
    without: np.ndarray
    """From all others (c, k)."""
    after_one_more: np.ndarray
    """From all events and one more batch like the mean of a class (c, k)."""

    @property
    def collect_next(self) -> dict[str, str]:
        """For every parameter that is determined then, the class of which one more batch helps it most."""
        return {
            name: self.labels[int(np.argmin(column))]
            for name, column in zip(self.names, self.after_one_more.T, strict=True)
            if np.isfinite(column).any()
        }


def information_budget(problem: Problem, z: Vector, classes: Sequence[str]) -> Budget:
    """The budget at z; `classes` has a label for every batch of events."""
    matrices = problem.informations(z)
    if len(classes) != len(matrices):
        raise ValueError(f"classes: expected a label for each of {len(matrices)} batches, got {len(classes)}")
    labels = tuple(sorted(set(classes), key=_in_order))
    total = np.sum(matrices, axis=0)
    alone = [np.sum([m for m, c in zip(matrices, classes, strict=True) if c == x], axis=0) for x in labels]
    counts = tuple(sum(c == label for c in classes) for label in labels)

    def errors(information: np.ndarray) -> np.ndarray:
        return from_information(problem, z, information).errors

    return Budget(
        names=problem.names,
        errors=errors(total),
        labels=labels,
        batches=counts,
        alone=np.array([errors(part) for part in alone]),
        without=np.array([errors(total - part) for part in alone]),
        after_one_more=np.array(
            [errors(total + part / n) for part, n in zip(alone, counts, strict=True)],
        ),
    )


def _in_order(label: str) -> tuple[tuple[bool, float, str], ...]:
    """Labels with numbers in them sort by these: 67 to 134 cm comes before 134 to 201 cm."""
    parts = re.split(r"(\d+(?:\.\d+)?)", label)
    return tuple((n % 2 == 1, float(part) if n % 2 else 0.0, part) for n, part in enumerate(parts))
