"""Flow matching of crystals: geodesics on the torus for coordinates, straight lines for log-polar components.

Prior, lattice numbers and network heads are those of the diffusion, so that the two can be compared at equal network,
data and updates; only the path between data and prior, and with it the sampler, differs.
"""

import math

from torch import Tensor

from gen.crystals.log_polar_process import LogPolarProcess
from gen.crystals.process import Geometry
from gen.diffusion import torus_flow
from potentials.errors import InputError

LATTICE_SCALE = math.sqrt(2.0)  # root mean square of eps - c_0, both standard


class FlowProcess(LogPolarProcess):
    """Deterministic paths; the components c_s = (1 - s) c_0 + s eps run on s = t^p, p = `lattice_power`.

    The coordinate head is the velocity over sqrt(1/12), the lattice head the velocity eps - c_0 over sqrt(2).
    """

    uniform_shake = True

    def noised(self, clean: Geometry, t: Tensor, noise: Geometry) -> Geometry:
        """Points of the paths."""
        s = self._lattice_time(t)[:, None]
        components = (1 - s) * clean.components + s * noise.components
        return Geometry(
            torus_flow.noised(clean.frac, t[:, None, None], torus_flow.displacement(noise.frac)), components
        )

    def targets(self, clean: Geometry, t: Tensor, noise: Geometry) -> Geometry:
        """Velocities of the paths in units of their root mean squares."""
        return Geometry(
            torus_flow.displacement(noise.frac) / torus_flow.VELOCITY_SCALE,
            (noise.components - clean.components) / LATTICE_SCALE,
        )

    def reverse_step(
        self, geometry: Geometry, heads: Geometry, t: float, t_next: float, noise: Geometry, anti_annealing: float
    ) -> Geometry:
        """Euler steps of both; `noise` is not used."""
        velocity = torus_flow.VELOCITY_SCALE * heads.frac
        frac = torus_flow.reverse_step(geometry.frac, velocity, t, t_next, 1 + anti_annealing * (1 - t))
        power = self.config.lattice_power
        components = geometry.components - (t**power - t_next**power) * LATTICE_SCALE * heads.components
        return Geometry(frac, components)

    def corrector_step(self, geometry: Geometry, heads: Geometry, t: float, step: float, noise: Tensor) -> Geometry:
        """Not to be had.

        Raises:
            InputError: always.
        """
        raise InputError("corrector = true needs a score, which a flow has not: leave it off, or take more steps")

    def at_level(self, geometry: Geometry, t: float) -> Geometry:
        """Components shrunk by 1 - s; coordinates as they are."""
        return Geometry(geometry.frac, (1 - t**self.config.lattice_power) * geometry.components)

    def denoised(self, geometry: Geometry, heads: Geometry, t: float) -> Geometry:
        """The ends of the straight paths the velocities point along."""
        frac = torus_flow.clean(geometry.frac, torus_flow.VELOCITY_SCALE * heads.frac, t)
        components = geometry.components - t**self.config.lattice_power * LATTICE_SCALE * heads.components
        return Geometry(frac, components)

    def _lattice_time(self, t: Tensor) -> Tensor:
        return t**self.config.lattice_power
