"""DiffCSP de novo (Jiao et al. 2023, sec. 4.4 and App. G): species diffuse as vectors beside lattice and coordinates.

The one-hot vector of every atom takes variance-preserving noise under the lattice's cosine schedule at the one time all
three channels share, and the network predicts that noise; a finished atom is the element of its largest number. The
published loss weighs coordinates : lattice : species as 1 : 1 : 20, and the published corrector step for MP-20 is
5e-6 (sigma / sigma_min)^2, which is 0.2 sigma^2: `steps=1000 corrector=true corrector_step=0.2 quench_steps=0`.
"""

import torch
from torch.nn import functional

from gen.crystals.baseline_process import BaselineProcess
from gen.crystals.process import ChannelLosses, CleanCrystals, Draws, ScoreNetwork
from gen.diffusion import cosine


class DeNovoBaselineProcess(BaselineProcess):
    """DiffCSP's diffusion of all three channels; tokens are vectors [B, N, E], and the logits the noise in them."""

    diffuses_species = True

    def draw(self, batch: int, n_atoms: int, generator: torch.Generator) -> Draws:
        """Random times, one for all channels, and noise; `hide` is the standard normal noise [B, N, E] of species."""
        t = torch.rand(batch, generator=generator)
        return Draws(
            t_geometry=t,
            t_species=t,
            hide=torch.randn(batch, n_atoms, self.mask, generator=generator),
            shake=torch.randn(batch, n_atoms, 3, generator=generator),
            strain=torch.randn(batch, self.lattice_size, generator=generator),
            flip=torch.randint(0, 2, (batch,), generator=generator) * 2.0 - 1.0,
        )

    def losses(self, network: ScoreNetwork, clean: CleanCrystals, draws: Draws) -> ChannelLosses:
        """Noise a batch, evaluate the network, compare; the species' loss is the mean squared error of their noise."""
        noisy, target = self.noised_and_targets(clean, draws)
        vectors = functional.one_hot(clean.tokens, self.mask).to(clean.frac)
        vectors = cosine.noised(vectors, draws.t_species[:, None, None], draws.hide)
        heads, predicted = self.evaluate(network, vectors, noisy, draws.t_geometry)
        return ChannelLosses(
            coordinates=((heads.frac - target.frac) ** 2).mean((1, 2)),
            lattice=((heads.components - target.components) ** 2).mean(1),
            species=((predicted - draws.hide) ** 2).mean((1, 2)),
        )
