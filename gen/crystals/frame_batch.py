"""The space-group constraints of a batch of structures, applied step by step to any process."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gen.crystals.frames import Frame, project_lattice
from gen.crystals.process import CrystalProcess, Geometry
from gen.diffusion import wrapped_normal
from potentials.errors import InputError


class FrameBatch:
    """The space-group constraints of a batch, stacked; none of them changes anything without a space group."""

    def __init__(self, of_rows: Sequence[Frame | None], device: torch.device) -> None:
        frames = [frame for frame in of_rows if frame is not None]
        if frames and len(frames) != len(of_rows):
            raise InputError("structures with and without a space group cannot share a batch: ask for them apart")
        self.active = bool(frames)
        self.leader: Tensor | None = None  # [B, N]
        if frames:
            self._origin = torch.stack([frame.origin for frame in frames]).to(device)
            self._move = torch.stack([frame.move for frame in frames]).to(device)
            self._spread = torch.stack([frame.spread for frame in frames]).to(device)
            self._metric = torch.stack([frame.metric for frame in frames]).to(device)
            self.leader = torch.stack([frame.leader for frame in frames]).to(device)

    def origin(self, uniform: Tensor) -> Tensor:
        """Coordinates to start from, [B, N, 3]."""
        return wrapped_normal.wrap(self._origin.to(uniform)) if self.active else uniform

    def tie(self, values: Tensor) -> Tensor:
        """Values [B, N] of each atom's leader."""
        return values.gather(1, self.leader) if self.leader is not None else values

    def spread(self, noise: Tensor) -> Tensor:
        """Normal noise [B, N, 3] along the free coordinates alone."""
        return self._apply(self._spread, noise) if self.active else noise

    def hold(self, before: Geometry, after: Geometry) -> Geometry:
        """`after` with the displacement from `before` projected on the allowed ones."""
        if not self.active:
            return after
        moved = self._apply(self._move, wrapped_normal.nearest(after.frac - before.frac))
        return Geometry(wrapped_normal.wrap(before.frac + moved), after.components)

    def hold_lattice(self, process: CrystalProcess, geometry: Geometry, heads: Geometry, t: float) -> Geometry:
        """Lattice heads that predict the invariant lattice nearest to the one they did predict.

        The prediction is linear in the heads in every process, so two evaluations of it are enough to invert it.
        """
        if not self.active:
            return heads
        n_atoms = geometry.frac.shape[1]
        zero = process.denoised(geometry, Geometry(heads.frac, torch.zeros_like(heads.components)), t).components
        one = process.denoised(geometry, Geometry(heads.frac, torch.ones_like(heads.components)), t).components
        predicted = process.view(process.denoised(geometry, heads, t).components, n_atoms)[1]
        wanted = process.encode(project_lattice(predicted, self._metric), n_atoms)
        return Geometry(heads.frac, (wanted - zero) / (one - zero))

    def finish(self, lattice: Tensor) -> Tensor:
        """Lattices [B, 3, 3] free of the rounding left in them."""
        return project_lattice(lattice, self._metric) if self.active else lattice

    @staticmethod
    def _apply(matrix: Tensor, field: Tensor) -> Tensor:
        flat = field.reshape(len(field), -1, 1).double()
        return (matrix @ flat).reshape(field.shape).to(field.dtype)
