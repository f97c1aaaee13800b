"""The kinds of process, by the name a configuration gives."""

from gen.crystals.baseline_process import BaselineProcess
from gen.crystals.baseline_species import DeNovoBaselineProcess
from gen.crystals.config import ProcessConfig
from gen.crystals.diffusion_process import DiffusionProcess
from gen.crystals.flow_process import FlowProcess
from gen.crystals.lattice import LatticeScale
from gen.crystals.process import CrystalProcess

KINDS: dict[str, type[CrystalProcess]] = {
    "diffusion": DiffusionProcess,
    "flow": FlowProcess,
    "diffcsp": BaselineProcess,
    "diffcsp_denovo": DeNovoBaselineProcess,
}


def make_process(config: ProcessConfig, scale: LatticeScale, mask: int) -> CrystalProcess:
    """The process of `config.kind`; `mask` is the token of a hidden species."""
    return KINDS[config.kind](config, scale, mask)
