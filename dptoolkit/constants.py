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

KAON_MASS = 493.677
"""[MeV]. PDG 2024."""

NEUTRAL_PION_MASS = 134.9768
"""[MeV]. PDG 2024."""

LIGHT_SPEED = 29979.2458
"""[cm/us]. Exact."""

FINE_STRUCTURE = 1 / 137.035999
"""[1]. CODATA 2018."""

ELECTRON_RADIUS = 2.8179403e-13
"""Classical electron radius [cm]. CODATA 2018."""

AVOGADRO = 6.02214076e23
"""[1/mol]. Exact."""

BETHE_K = 0.307075
"""4 pi N_A r_e^2 m_e c^2 [MeV cm2/mol]. PDG 2024."""

ARGON_Z = 18
"""Atomic number of argon."""

ARGON_A = 39.948
"""Molar mass of argon [g/mol]. PDG 2024."""

ARGON_RADIATION_LENGTH = 14.0
"""[cm], liquid of 1.396 g/cm3. PDG 2024."""

MOBILITY = (551.6, 7158.3, 4440.43, 4.29, 43.63, 0.2053)
"""Electron mobility in liquid argon, coefficients a0..a5 of mu(E) [cm2/V/s], E in kV/cm.
Li et al., NIM A 816 (2016) 160, with the temperature scaling of Walkowiak, NIM A 449 (2000) 288."""

MOBILITY_TEMPERATURE = 89.0
"""Temperature to which `MOBILITY` refers [K]. Li et al., NIM A 816 (2016) 160."""
