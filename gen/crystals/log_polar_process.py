"""What the processes on log-polar lattice components share: how a lattice becomes components, and the prior."""

from torch import Tensor

from gen.crystals.lattice import decode, encode
from gen.crystals.process import CrystalProcess, Geometry


class LogPolarProcess(CrystalProcess):
    """A process whose lattice runs on six standardised log-polar components, which have no orientation."""

    def encode(self, lattice: Tensor, n_atoms: int) -> Tensor:
        """Log-polar components, standardised by atom count."""
        return self.scale.standardise(encode(lattice), n_atoms)

    def view(self, components: Tensor, n_atoms: int) -> tuple[Tensor, Tensor]:
        """The components themselves, and the symmetric lattice they stand for."""
        return components, decode(self.scale.restore(components, n_atoms))

    def prior(self, uniform: Tensor, normal: Tensor) -> Geometry:
        """Uniform coordinates, standard normal components."""
        return Geometry(uniform, normal)
