"""Constants of nature and of materials: value, unit, source. Parameters that may be fitted are not here."""

FEMTOCOULOMB = 6241.509
"""Electrons in a femtocoulomb [electrons/fC]. CODATA 2018."""

MUON_MASS = 105.6583755
"""[MeV]. PDG 2024."""

ELECTRON_MASS = 0.51099895
"""[MeV]. CODATA 2018."""

PION_MASS = 139.57039
"""[MeV]. PDG 2024."""

PROTON_MASS = 938.27208816
"""[MeV]. CODATA 2018."""

MOBILITY = (551.6, 7158.3, 4440.43, 4.29, 43.63, 0.2053)
"""Electron mobility in liquid argon, coefficients a0..a5 of mu(E) [cm2/V/s], E in kV/cm.
Li et al., NIM A 816 (2016) 160, with the temperature scaling of Walkowiak, NIM A 449 (2000) 288."""

MOBILITY_TEMPERATURE = 89.0
"""Temperature to which `MOBILITY` refers [K]. Li et al., NIM A 816 (2016) 160."""
