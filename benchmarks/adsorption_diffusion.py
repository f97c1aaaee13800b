"""Self-diffusion of methane in silicalite at 300 K and infinite dilution beside published simulations and NMR.

    python benchmarks/adsorption_diffusion.py [--picoseconds 400] [--walkers 64]

Published: J. B. Nicholas, F. R. Trouw, J. E. Mertz, L. E. Iton, A. J. Hopfinger, J. Phys. Chem. 97, 4149 (1993),
molecular dynamics of rigid methane in rigid silicalite: 11.5e-5 cm^2/s at infinite dilution down to 2.0e-5 at 16
molecules a cell, in agreement with their comparison to pulsed-field-gradient NMR.
"""

import argparse
import time

from benchmarks.adsorption_structures import mfi
from benchmarks.record import record
from screening.adsorption.diffusion import DiffusionSettings, guest_diffusion
from screening.adsorption.force_fields import HostGuestModel

PUBLISHED = 1.15e-8  # m^2/s, infinite dilution, 300 K
FORCE_FIELDS = ("zeolite", "trappe-zeo")


def main() -> None:
    """Run, print, record E9a, E9b."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picoseconds", type=float, default=400.0)
    parser.add_argument("--walkers", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--force-field", nargs="*", default=FORCE_FIELDS)
    arguments = parser.parse_args()
    for letter, force_field in zip("ab", arguments.force_field, strict=False):
        settings = DiffusionSettings(
            gas="CH4",
            temperature=300.0,
            model=HostGuestModel(force_field=force_field, truncation="shifted"),
            walkers=arguments.walkers,
            picoseconds=arguments.picoseconds,
            timestep=2.0,
        )
        started = time.process_time()
        found = guest_diffusion(mfi(), settings, seed=arguments.seed)
        seconds = time.process_time() - started
        print(
            f"{force_field}: {found.coefficient:.3g} +- {found.std:.2g} m^2/s, exponent {found.exponent:.2f}, "
            f"{found.mean_temperature:.1f} K, {seconds:.0f} s {found.note}",
            flush=True,
        )
        record(
            id=f"E9{letter}",
            value=found.coefficient,
            unit="m^2/s",
            protocol=f"self-diffusion of CH4 in all-silica MFI, 300 K, zero loading; standard error {found.std:.2g}, "
            f"logarithmic slope {found.exponent:.2f}, walkers at {found.mean_temperature:.0f} K; {found.method}; "
            f"{seconds:.0f} s of one core",
            data_sha256=None,
            seed=arguments.seed,
            peer="Nicholas et al. 1993 (MD, infinite dilution, agrees with PFG NMR)",
            peer_value=PUBLISHED,
            ratio=found.coefficient / PUBLISHED,
            note=found.note or None,
        )


if __name__ == "__main__":
    main()
