"""Ionisation and scintillation quanta from one budget: what recombines, shines."""

from jaxtyping import Array

from dptoolkit.events import PerSegment
from dptoolkit.params import Component, param


class Quanta(Component):
    """Q = R dE / W_ion electrons and L = dE / W_ph - Q photons."""

    w_ion: Array = param(
        23.6, "eV", bounds=(20.0, 28.0), symbol="W_ion", reference="Miyajima 1974; larnd-sim"
    )
    w_ph: Array = param(19.5, "eV", bounds=(16.0, 23.0), symbol="W_ph", reference="Doke 2002; larnd-sim")

    def electrons(self, de: PerSegment, survival: PerSegment) -> PerSegment:
        """Electrons that escape recombination, of `de` [MeV]."""
        return survival * de * 1e6 / self.w_ion

    def photons(self, de: PerSegment, survival: PerSegment) -> PerSegment:
        """Scintillation photons of `de` [MeV]."""
        return de * 1e6 / self.w_ph - self.electrons(de, survival)
