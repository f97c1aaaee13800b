"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner (Vyas et al. 2024, arXiv:2409.11321, algorithm 3).

The second moments of a matrix's gradient, G G^T and G^T G, tell which combinations of rows and of columns change
together. Adam's step sizes, one a number, are chosen in their eigenbases instead of in the coordinates the weights
happen to have. Fewer steps are needed; each costs some products of matrices of the size of the weights and, every so
often, a QR decomposition, little beside the gradient of a network that uses each weight thousands of times a step.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

_RIDGE = 1e-6  # of the largest eigenvalue
# of the root mean square of a matrix's second moments, added to each: combinations of weights that next to no gradient
# asks for turn at random among themselves, and a step that finds one where another was would else be an explosion
_DAMPING = 0.1
_LARGEST = 256  # rows or columns; a longer side keeps its own coordinates


class SOAP(torch.optim.Optimizer):
    """Vectors get Adam; of tensors with more axes than two, all but the last count as rows.

    Args:
        params: parameters, or groups of them.
        lr: learning rate, on Adam's scale.
        betas: decay of the first and second moment.
        basis_decay: of the averages of G G^T and G^T G.
        weight_decay: decoupled, as AdamW's.
        every: steps between refreshed bases; parameters take turns.
        rows: find combinations of rows too. Off in a group of parameters whose rows belong to things that only few
            batches hold, such as elements of many: which rows change together is then a matter of the batch.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.01,
        betas: tuple[float, float] = (0.9, 0.999),
        basis_decay: float = 0.95,
        weight_decay: float = 0.0,
        every: int = 10,
        rows: bool = True,
    ) -> None:
        options = {"lr": lr, "betas": betas, "basis_decay": basis_decay, "weight_decay": weight_decay, "every": every}
        options["rows"] = rows
        super().__init__(params, options)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step; the first of a matrix only finds its bases."""
        if closure is not None:
            with torch.enable_grad():
                closure()
        for group in self.param_groups:
            for turn, parameter in enumerate(group["params"]):
                if parameter.grad is not None:
                    _move(parameter, self.state[parameter], group, turn)


def _move(parameter: Tensor, state: dict[str, Any], group: dict[str, Any], turn: int) -> None:
    gradient = parameter.grad
    assert gradient is not None
    matrix = gradient.reshape(-1, gradient.shape[-1]) if gradient.ndim > 1 else gradient[:, None]
    sides = _sides(matrix, group["rows"])
    if "step" not in state:
        state["step"] = torch.tensor(0.0)
        state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(matrix), torch.zeros_like(matrix)
        for side in sides:
            state[f"moment_{side}"] = (1 - group["basis_decay"]) * _second_moment(matrix, side)
            moment = state[f"moment_{side}"]
            largest = moment.abs().amax().clamp_min(torch.finfo(moment.dtype).tiny)
            state[f"basis_{side}"] = torch.linalg.eigh(moment / largest)[1].flip(1)
        if sides:
            return
    state["step"] += 1
    step, (first, second) = float(state["step"]), group["betas"]
    average, squares = state["exp_avg"].lerp_(matrix, 1 - first), state["exp_avg_sq"]
    turned = _turned(matrix, state)
    squares.mul_(second).addcmul_(turned, turned, value=1 - second)
    scale = squares / (1 - second**step)
    if sides:
        scale += _DAMPING**2 * scale.mean()
    scale = scale.sqrt_().add_(1e-8)
    update = _turned(_turned(average, state) / scale, state, back=True)
    parameter.mul_(1 - group["lr"] * group["weight_decay"])
    parameter.add_(update.view_as(parameter), alpha=-group["lr"] / (1 - first**step))
    for side in sides:
        state[f"moment_{side}"].lerp_(_second_moment(matrix, side), 1 - group["basis_decay"])
        if (step + turn) % group["every"] == 0 or step == 1:
            _refresh(state, side)


def _sides(matrix: Tensor, rows: bool) -> list[str]:
    if 1 in matrix.shape:  # a vector
        return []
    sides = [side for side, size in zip(("rows", "columns"), matrix.shape, strict=True) if size <= _LARGEST]
    return sides if rows else [side for side in sides if side != "rows"]


def _second_moment(matrix: Tensor, side: str) -> Tensor:
    return matrix @ matrix.T if side == "rows" else matrix.T @ matrix


def _turned(matrix: Tensor, state: dict[str, Any], back: bool = False) -> Tensor:
    """A matrix in the coordinates of the bases, or back from them."""
    if "basis_rows" in state:
        matrix = (state["basis_rows"] if back else state["basis_rows"].T) @ matrix
    if "basis_columns" in state:
        matrix = matrix @ (state["basis_columns"].T if back else state["basis_columns"])
    return matrix


def _refresh(state: dict[str, Any], side: str) -> None:
    """One step of orthogonal iteration, with the directions kept in order of their eigenvalues (algorithm 4)."""
    moment, basis = state[f"moment_{side}"], state[f"basis_{side}"]
    values = torch.einsum("ij,ij->j", basis, moment @ basis)
    order = values.argsort(descending=True)
    state["exp_avg_sq"] = state["exp_avg_sq"].index_select(0 if side == "rows" else 1, order)
    # a multiple of the identity has any eigenvectors: it keeps directions without a gradient as they are, where the
    # decomposition would meet columns too short to be normalised
    ridge = (_RIDGE * values.amax()).clamp_min(torch.finfo(values.dtype).tiny)
    iterated = moment @ basis[:, order] + ridge * basis[:, order]
    state[f"basis_{side}"] = torch.linalg.qr(iterated / ridge)[0].contiguous()
