"""When scintillation light is made: two states of excited argon that decay at their own pace."""

from jaxtyping import Array

from dptoolkit.params import Component, param


class Scintillation(Component):
    """A fraction `singlet` of the photons with the short lifetime, the others with the long one."""

    singlet: Array = param(
        0.3, "1", bounds=(0.0, 1.0), symbol="f_s", reference="electrons and muons; larnd-sim"
    )
    singlet_ns: Array = param(6.5, "ns", bounds=(0.1, 100.0), symbol="tau_s", reference="6 to 7 ns")
    triplet_ns: Array = param(1530.0, "ns", bounds=(100.0, 5000.0), symbol="tau_t", reference="larnd-sim")

    def moments(self) -> tuple[Array, Array]:
        """(mean, variance) of the time from excitation to photon [ns, ns2]."""
        mean = self.singlet * self.singlet_ns + (1 - self.singlet) * self.triplet_ns
        square = 2 * (self.singlet * self.singlet_ns**2 + (1 - self.singlet) * self.triplet_ns**2)
        return mean, square - mean**2
