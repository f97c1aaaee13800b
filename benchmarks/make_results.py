"""Write `benchmarks/RESULTS.md` from `benchmarks/results.jsonl`: the latest measurement of each id, explained.

python benchmarks/make_results.py
"""

import argparse
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from potentials.errors import InputError
from potentials.files import write_atomic

RESULTS = Path(__file__).resolve().parent / "results.jsonl"
PAGE = RESULTS.with_name("RESULTS.md")

# What an id measures, in a sentence. `S6a` is explained by `S6` unless it has its own line.
WHAT = {
    "S1": "Wall time of `sorbus discover` from an empty run folder to the written report.",
    "S2": "Generated crystals that pass structural validity (all distances > 0.5 Å, volume > 0.1 Å³ per atom).",
    "S3": "Generated crystals whose composition is charge-neutral by SMACT.",
    "S4": "Widom insertion against published CO2 Henry coefficients of real frameworks with the same DDEC charges.",
    "S5": "Framework charges of the environment model against DDEC charges, EQeq beside it.",
    "S5b": "CO2 Henry coefficients with environment charges, ranked against those with DDEC charges; EQeq beside it.",
    "S5c": "The same ranking beside the published I-QEq charges.",
    "S6": "Speed of batched relaxation.",
    "S7": "Force error of the trained equivariant potential on the 3BPA molecule.",
    "S7b": "The same on the official 300 K test set.",
    "S7c": "Energy error on the official 300 K test set.",
    "S7d": "Force error on frames at 1200 K, out of distribution.",
    "S8": "Template frameworks that pass the validity checks, of those built.",
    "S8a": "Template proposals that could be built.",
    "S8b": "Template frameworks that pass the validity checks, of those proposed.",
    "S8c": "Template frameworks whose bonds run on in three dimensions.",
    "S8d": "Template frameworks that are valid and let CO2 pass (PLD >= 3.3 Å).",
    "S8e": "Time of one template proposal.",
    "S9": "Pore sizes and surfaces against published figures.",
    "D1": "Learned frameworks that pass every test before relaxation, one attempt each.",
    "D1a": "The same as users get them: up to five attempts.",
    "D1j": "Real CoRE MOFs (DDEC) that pass the coordination tests.",
    "D1k": "Real CoRE MOF 2019 frameworks that pass them.",
    "D1l": "Real CURATED COFs that pass them.",
    "D2": "Learned frameworks that are valid, novel and unique, one attempt each.",
    "D2a": "The same, up to five attempts.",
    "D2h": "Valid when asked for nets that training never saw.",
    "D3a": "Void fraction asked and got: error over the unconditioned spread.",
    "D3b": "log10 Henry coefficient asked and got: error over the unconditioned spread.",
    "D3c": "Void fraction asked and got: rank correlation.",
    "D3d": "log10 Henry coefficient asked and got: rank correlation.",
    "D4": "Frameworks asked for a high Henry coefficient: median CO2 uptake, beside random assembly.",
    "D4a": "The same: 95th percentile.",
    "D4b": "Their median beside a genetic algorithm on the same budget, all it evaluated.",
    "D4c": "Their median beside the last population of the genetic algorithm.",
    "D4d": "The same: 95th percentile.",
    "D6": "Learned frameworks assembled a second of one core.",
    "D6b": "Training the sorbent generator.",
    "B1": "Messages of one layer, forward and backward, beside e3nn's product on every edge.",
    "B2": "3BPA trained at 300 K for the same process time on one core: force error at 300 K beside NequIP.",
    "B2a": "The same beside MACE.",
    "B2b": "The same networks at 1200 K, out of distribution, beside NequIP.",
    "B2h": "The same beside MACE.",
    "B2i": "The same networks at 600 K, out of distribution, beside NequIP.",
    "B2j": "The same beside MACE.",
    "B2c": "Symmetry built in beside a plain network on turned frames, equal data and time: force error at 300 K.",
    "B2d": "The same at 1200 K, out of distribution.",
    "B2e": "The same: how much forces change as a frame turns.",
    "B2f": "The same: how much energies change as a frame turns.",
    "B2g": "The same: energy error at 300 K.",
    "B3": "AcAc at 300 K after equal process time: force error beside NequIP.",
    "B3a": "The same beside MACE.",
    "B3b": "The same networks at 600 K beside NequIP.",
    "B3c": "The same beside MACE.",
    "B3d": "The same: energies along a dihedral angle, beside NequIP.",
    "B3e": "The same: energies along the transfer of a proton, beside NequIP.",
    "B3f": "The dihedral angle beside MACE.",
    "B3g": "The transfer of a proton beside MACE.",
    "B4a": "Ethanol (BOTNet), test at 300 K: force error after minutes of training.",
    "B4b": "Silicon (mlearn): the same.",
    "B4c": "Molybdenum (mlearn): the same.",
    "B4d": "Germanium (mlearn): the same.",
    "B4e": "Liquid water (Zhang et al. 2018): the same.",
    "B4f": "Silica on zeolite nets that training never saw (Si-ZEO22): the same.",
    "B4g": "Ethanol after equal process time: force error beside NequIP.",
    "B4h": "The same beside MACE.",
    "B4i": "The same networks: energies as the hydroxyl group's H is pulled off, beside NequIP.",
    "B4j": "The same beside MACE.",
    "B5i": "3BPA after equal process time, networks of the shapes of B5: force error beside NequIP.",
    "B5j": "The same beside MACE.",
    "B5a": "Energy and forces, ten 3BPA molecules, each in its fastest way, beside NequIP.",
    "B5b": "Energy, forces and stress, 64 crystals of 20 atoms, each in its fastest way, beside NequIP.",
    "B5c": "Energy and forces, ten 3BPA molecules, each in its fastest way, beside MACE.",
    "B5d": "Energy, forces and stress, 64 crystals of 20 atoms, each in its fastest way, beside MACE.",
    "B6": "Energy and forces of 513 atoms of water, a step of dynamics, beside NequIP.",
    "B6a": "The same beside MACE.",
    "B8": "Memory of that call beside NequIP.",
    "B8a": "The same beside MACE.",
    "B9": "Potential distilled from CHGNet, held-out compositions: energy error.",
    "B9a": "The same: force error.",
    "B9b": "The same: crystals whose relaxed volume is within 3 % of the teacher's.",
    "B9c": "The same: energy, forces and stress of a batch beside chgnet-fast.",
    "B9d": "The same beside the chgnet package's own arithmetic, batched.",
    "B9e": "Relaxation of generated crystals with the distilled potential first, FIRE: process time.",
    "B9f": "The same: evaluations by the teacher.",
    "B9g": "The same with L-BFGS: process time.",
    "B9h": "The same with L-BFGS: evaluations by the teacher.",
    "B9i": "Distilled a third time, not shipped (docs/distill.md): energy error.",
    "B9j": "The same: force error.",
    "B9k": "The same: crystals whose relaxed volume is within 3 % of the teacher's.",
    "B9l": "The same: energy, forces and stress of a batch beside chgnet-fast.",
    "B9m": "The same beside the chgnet package's own arithmetic, batched.",
    "B9n": "Sixteen Bessel functions instead of eight, 12 minutes from the third: energy error on validation.",
    "B9o": "The same: force error.",
    "B15": "SevenNet-0 beside CHGNet, random MPtrj frames: force error.",
    "B15a": "The same: energy error after a shift an element.",
    "B15b": "The same: stress error.",
    "B15c": "The same: process time.",
    "B15d": "The same: force error of the median frame.",
    "B16": "SevenNet-0 beside CHGNet, MPtrj frames of highest stress: force error.",
    "B16a": "The same: energy error after a shift an element.",
    "B16b": "The same: stress error.",
    "B16c": "The same: process time.",
    "B16d": "The same: force error of the median frame.",
    "B17": "SevenNet-0 beside CHGNet, hot and pressed crystals: force error.",
    "B17a": "The same: energy error after a shift an element.",
    "B17b": "The same: stress error.",
    "B17c": "The same: process time.",
    "B17d": "The same: force error of the median frame.",
    "B18": "SevenNet-0 beside CHGNet: change of volume when crystals relaxed by DFT are relaxed again.",
    "B10": "Ensemble trained on AcAc at 300 K: rank correlation of stated and true force error at 600 K.",
    "B10a": "The same: coverage of its 90 % intervals at 600 K.",
    "B10b": "The same: rank correlation at 300 K.",
    "B10c": "The same: coverage of its 90 % intervals at 300 K.",
    "B10d": "One network, distance of its features to training: rank correlation at 600 K.",
    "B10e": "The same: coverage of its 90 % intervals at 600 K.",
    "B10f": "The same: rank correlation at 300 K.",
    "B10g": "The same: coverage of its 90 % intervals at 300 K.",
    "B10h": "A training step of an ensemble in one batched pass, beside member by member.",
    "B11": "Ions beyond the cutoff: force error with long-range charges beside the same network without.",
    "B11a": "The same, periodic boxes.",
    "B11b": "The same, clusters.",
    "B5e": "Energy, forces and virials of the exported and compiled potential beside the eager one.",
    "B5f": "The same through torch.compile.",
    "B5g": "Making the compiled package, CPU time.",
    "B5h": "First call through torch.compile, CPU time.",
    "B7b": "Relaxations a minute of generated crystals, batched FIRE, beside TorchSim 0.3.0 with the same potential.",
    "B7c": "The same with batched L-BFGS.",
    "B7d": "L-BFGS with a guard beside the same without, molecular crystals: share that converged.",
    "B7e": "The same, crystals of all kinds.",
    "B7f": "The same, molecular crystals: mean energy above the lowest any of three ways found.",
    "B7g": "The same, crystals of all kinds.",
    "D1w": "Generated beads that become frameworks passing every test.",
    "D1m": "How far assembly moves generated beads.",
    "D1n": "Control: the same blocks and cells, positions drawn at random.",
    "D1r": "Valid template frameworks reduced to beads and assembled again: same net and blocks.",
    "D1s": "The same: same graph of bonds (beads do not say how a symmetric block is turned, or which way round).",
    "D1t": "Beads with noise: linked as they were.",
    "D1u": "Beads with noise: assembled and valid.",
    "D1v": "Beads with noise: how far a block aligned with its neighbours' directions is misturned.",
    "D1x": "Rotations of blocks by diffusion on SO(3), against alignment: angle to the truth.",
    "D1y": "The same: how far connection points are off (the measure of D1v).",
    "D1ya": "The same: blocks far off.",
    **{f"D1z{x}": "The same: beads with exact positions or noise, assembled and valid." for x in ("", "a", "b")},
    "D1zc": "The same: time to turn the blocks of a framework.",
    "D6c": "Time to assemble a framework from beads.",
    "D6d": "Generated beads to frameworks, a second of one core.",
    "S10": "Speed of the equivariant potential on 3BPA x 10, one core.",
    "C1": "Structure prediction on Perov-5 with the shipped `perovskites` model: match rate of one sample.",
    "C1a": "The same, gated by validity.",
    "C1b": "The same, best of 20 samples.",
    "C1c": "Root mean square distance of the best of 20 samples on Perov-5.",
    **{f"C1{x}": "Match rate on Perov-5 against network evaluations, diffusion." for x in "defgh"},
    **{f"C1{x}": "Match rate on Perov-5 against network evaluations, flow matching." for x in "ijklm"},
    **{f"C1{x}": "Match rate on Perov-5 against network evaluations, a fifth of them quench." for x in "nopqr"},
    "C1s": "Perov-5 with structure types held: match rate of one sample.",
    "C1t": "The same, gated by validity.",
    "C1u": "The same, best of 20 samples.",
    "C1v": "Root mean square distance of the best of 20 samples on Perov-5 with structure types held.",
    "C2": "Structure prediction on MP-20 binaries and ternaries against a DiffCSP-style baseline of equal training.",
    "C2a": "The same, gated by validity.",
    "C2b": "The baseline with its own sampler of 2,000 evaluations.",
    "C2c": "The baseline, gated by validity.",
    "C2d": "The baseline within our budget of evaluations.",
    "C2e": "Our process held to no symmetry: what it gains by itself.",
    "C2f": "The same, gated by validity.",
    **dict(
        zip(
            ("C2g", "C2h", "C2i", "C2j", "C2k"),
            (f"Our process after {n} network evaluations, match rate at 1." for n in (10, 25, 50, 100, 250)),
            strict=True,
        )
    ),
    "C3": "Structure prediction on MP-20 binaries and ternaries with the general model: match rate of one sample.",
    **{f"C3{x}": "Match rate of the general model against network evaluations." for x in "abcde"},
    "C3f": "The general model, gated by validity.",
    "C3g": "The general model, each sample relaxed with CHGNet before matching.",
    "C4a": "De novo crystals: structural validity.",
    "C4b": "De novo crystals: SMACT validity by CDVAE's rule.",
    "C4c": "De novo crystals: Wasserstein distance of the density to held-out crystals.",
    "C4d": "De novo crystals: Wasserstein distance of the number of elements.",
    "C4e": "De novo crystals that are unique.",
    "C4f": "De novo crystals with symmetry above P1 after symmetrising.",
    "C4g": "De novo crystals with symmetry above P1 as generated, within 0.01 Å.",
    "C4h": "De novo crystals with symmetry above P1 after a short relaxation and symmetrising.",
    "C4i": "Coverage of held-out crystals (own fingerprints, not the published COV-R).",
    "C4j": "De novo crystals near a held-out one (own fingerprints, not the published COV-P).",
    "C4k": "De novo crystals that are novel.",
    "C4u": "De novo crystals: Wasserstein distance of the density to the training crystals.",
    **dict(
        zip(
            ("C4v", "C4w", "C4x", "C4y", "C4z"),
            (f"De novo crystals after {n} network evaluations: structural validity." for n in (10, 25, 50, 100, 250)),
            strict=True,
        )
    ),
    **{f"C4{x}": "The same figures with each space group drawn from the training set and held." for x in "lmnopqrst"},
    "C5": "De novo crystals behind the stability screen that are metastable, unique and novel after relaxation.",
    "C5a": "The same crystals: metastable.",
    "C5b": "How far atoms of de novo crystals move in relaxation.",
    "C5c": "De novo crystals whose relaxation converges.",
    "C5d": "De novo crystals for which there is a hull.",
    "C5e": "Median energy above the hull.",
    "C5f": "Metastable, unique, novel by the second judge, SevenNet-0 with its own hull.",
    "C5g": "Share of the finds that the second judge confirms.",
    "C5h": "Rank correlation of the two judges' energies above the hull.",
    "C5j": "Metastable, unique, novel by the first judge on the crystals for which both judges have a hull.",
    "C5i": "De novo crystals on or below the hull, unique and novel.",
    "C5k": "Without a screen: metastable, unique, novel.",
    "C5l": "Without a screen: metastable.",
    "C5m": "Without a screen: how far atoms move in relaxation.",
    "C5n": "Without a screen: crystals for which there is a hull.",
    "C5o": "Without a screen: median energy above the hull.",
    "C5p": "Without a screen: metastable, unique, novel by the second judge.",
    "C5q": "Ours and the baseline behind the same screen, expected from the judged crystals of both.",
    "C5r": "The same: metastable.",
    "C5t": "Seconds of one core for each crystal behind the screen, sampling and screening.",
    "C5u": "Seconds of one core for each crystal without a screen.",
    "C5v": "De novo crystals behind the screen that are unique and novel.",
    "C5w": "De novo crystals without a screen that are unique and novel.",
    "C5x": "Effective number of elements behind the screen, against without.",
    "C5z": "The shipped weights behind the screen, against without: metastable, unique, novel.",
    "C5y": "Unique and novel behind the screen, against without.",
    "C10a": "Self-improvement: metastable, unique, novel on a held-out seed, against the model before it.",
    "C10b": "Self-improvement: the same, also novel against what was added.",
    "C10c": "Self-improvement: metastable.",
    "C10d": "Self-improvement: metastable, unique, novel by the second judge.",
    "C10e": "Self-improvement, diversity: unique.",
    "C10f": "Self-improvement, diversity: effective number of elements.",
    "C10g": "Self-improvement, drift: divergence of the elements from the training set.",
    "C10h": "Self-improvement, drift: divergence of the space groups from the training set.",
    "C10i": "Self-improvement, diversity: distinct prototypes.",
    "C10j": "Self-improvement: novel.",
    "C10k": "Self-improvement, drift: share of crystals with a lanthanide.",
    "C10l": "Self-improvement: rank correlation of the two judges.",
    "C10n": "Self-improvement: metastable, unique, novel by the first judge where both have a hull.",
    "C10o": "Self-improvement: share of the finds that the second judge confirms.",
    "C11": "Equivariant score network beside the one over all pairs, equal time: loss of the coordinates.",
    "C11a": "The same: loss of the lattice.",
    "C10m": "Self-improvement: median energy above the hull.",
    "C6": "Structures predicted per second with the nano network.",
    "C7": "Training speed of the nano network against a naive fully connected one.",
    "C8": "Memory of a training batch of 64 cells of 52 atoms, nano network.",
    "C9a": "Asked and measured density of generated crystals: rank correlation.",
    "C9b": "The same: mean absolute difference, the model without conditions beside it.",
    "C9c": "Space group held exactly: share of crystals in which spglib finds it.",
    "C9d": "The same: share usable at the first attempt.",
    "C9e": "Chemical system: share of crystals of exactly the elements asked for.",
    "C9f": "Asked band gap and the one a regression on composition estimates: rank correlation.",
    **{f"C9{x}": "Mean estimated band gap of crystals for which a gap was asked." for x in "ghi"},
    "C9j": "Space group told to the network, not enforced: share of crystals in which spglib finds it.",
    "S11": "What the universal potential does to template frameworks, against the number of steps.",
    "B7": "Relaxations per minute of generated crystals with CHGNet, batched FIRE, against ASE's FIRE loop.",
    "B7a": "Relaxations per minute of generated crystals with CHGNet, batched L-BFGS, against ASE's FIRE loop.",
    "E4a": "Widom insertions a second on the equivariant network, against one at a time through ASE.",
    "E4b": "Widom insertions a second on CHGNet, against one at a time through its own ASE calculator.",
    "E4c": "Widom on CHGNet to 5 % of the Henry coefficient, guided, batched; peer uniform, one at a time through ASE.",
    "E4d": "Time to an equal error of the Henry coefficient with the own network, beside one insertion at a time.",
    "E2": "Henry coefficients and heats of CO2 and N2 to 5 % in real CoRE MOFs, CPU time a structure (target 5 s).",
    "E2b": "The same beside RASPA3 at equal error, CPU time in all.",
    "E2c": "Henry coefficients by our engine over those by RASPA3.",
    "E3": "CO2 isotherm of all-silica MFI at 14 pressures, CPU time beside RASPA3 at equal error (target a third).",
    "E3b": "Uptakes by our engine over those by RASPA3.",
    "G25": "Ewald energies of NIST's SPC/E water boxes: real, self and intramolecular parts.",
    "G25b": "Ewald energies of NIST's SPC/E water boxes: reciprocal part.",
    "G26": "Lennard-Jones and tail energies of NIST's SPC/E water boxes.",
    "E5": "Ideal adsorbed solution theory against simulated CH4/C2H6 mixtures in IRMOF-1 (G31), pyIAST beside it.",
    "D5": "Silica: share of generated samples that are four-connected (target 0.5), random starts beside it.",
    "D5a": "Silica: distinct generated nets that are not in the training set (target 20).",
    "D5b": "Silica: energy of new nets above quartz with the universal potential; known zeolites in the note.",
    "D5c": "Silica: generation and assembly, samples per second of one core.",
    "D5e": "Four-connected silica as users get it: failures drawn again.",
    "D5d": "Silica: the control of D5, random sites under the same symmetry, search and least squares.",
    "D5f": "Silica: the same as D5 with one set of sites a sample, its control beside it.",
    "D5g": "Silica: the control of D5f.",
    "D5h": "Aluminium and sodium in faujasite at Si/Al 2.4, one arrangement.",
    "E6a": "Learned charges against DDEC on held-out frameworks; EQeq in the note.",
    "E6b": "Learned charges against DDEC on frameworks with metals never seen.",
    "E6c": "CO2 Henry coefficients with learned charges within a factor 1.5 of those with DDEC charges.",
    "E6d": "Charge network trained with the pore loss beside the same without it, validation MOFs only.",
    "E6e": "Standard error of ln K_H stated by learned charges against the true error, validation MOFs.",
    "E6f": "The same for the shipped model on MOFs whose formulas it never saw.",
    "E6g": "Charge error at which 90 % of CO2 Henry coefficients would be within a factor 1.5, validation MOFs.",
    "E7": "CO2 Henry coefficients ranked against published ones, the same DDEC charges on both sides.",
    "E8": "Computed over measured CO2 uptake of well-known sorbents (NIST ISODB), median ratio; below it each sorbent.",
    "E9a": "Self-diffusion of methane in silicalite, 300 K, beside published simulation and NMR.",
    "E10a": "Water-stability flag against the WS24 test part, of the frameworks it decides.",
    "E10b": "Water-stability flag against what reviews say of well-known frameworks.",
    "E10c": "The same on the half it was chosen on.",
    "E8a": "CO2 uptake of HKUST-1 at 1 bar and 298 K, computed beside measured (0.15 bar in the note).",
    "E8b": "CO2 uptake of Mg-MOF-74 at 1 bar and 298 K, computed beside measured (0.15 bar in the note).",
    "E8c": "CO2 uptake of UiO-66 at 1 bar and 298 K, computed beside measured (0.15 bar in the note).",
    "E8d": "CO2 uptake of MIL-53(Al) at 1 bar and 298 K, computed beside measured (0.15 bar in the note).",
    "E8e": "CO2 uptake of Ni-MOF-74 at 1 bar and 298 K, computed beside measured (0.15 bar in the note).",
    "E8f": "CO2 uptake of Zn-MOF-74 at 1 bar and 298 K, computed beside measured (0.15 bar in the note).",
    "E8g": "CO2 uptake of Co-MOF-74 at 1 bar and 298 K, computed beside measured (0.15 bar in the note).",
    "E8h": "CO2 uptake of MIL-47(V) at 1 bar and 298 K, computed beside measured (0.15 bar in the note).",
    "E8i": "CO2 uptake of Fe-MOF-74 at 1 bar and 298 K, computed beside measured (0.15 bar in the note).",
    "E8j": "CO2 uptake of Zn(bdc)(ted)0.5 at 1 bar and 298 K, computed beside measured (0.15 bar in the note).",
    "E8k": "CO2 uptake of silicalite at 1 bar and 298 K, computed beside measured (0.15 bar in the note).",
    "E8l": "Uptake at 0.15 bar under another model, estimated from its Henry coefficient, against computing it.",
    "E8m": "The same at 1 bar.",
    "E1": "Published adsorption figures (G1-G23, G28-G30) within their joint error (RASPA3, else batched engine).",
    "E1b": "The same for uptakes and heats by the batched engine alone.",
    "G1": "Henry coefficient of CH4 in all-silica MFI at 300 K, no charges (RASPA3 manual, basic example 7).",
    "G3": "CH4 uptake of all-silica MFI at 300 K and 0.1 bar (RASPA2 basic example 7).",
    "G3b": "Heat of adsorption of CH4 in all-silica MFI.",
    "G5": "Henry coefficients of CO2 and N2 in all-silica MFI at 300 K, no charges.",
    "G8": "Peng-Robinson fugacity coefficients of CO2/CH4 25:75 at 300 K and 10 bar (RASPA3 manual).",
    "G13": "Henry coefficient of CO2 in Mg-MOF-74 at 313 K, UFF + TraPPE, no charges (gRASPA).",
    "G32": "Parasitic energy of capturing CO2 from coal flue gas (calc_pe, after Huck et al. 2014).",
    "G2": "Uptake and heat of CH4 in MFI at 300 K and 1 bar (RASPA3 manual); a trailing o is the batched engine.",
    "G4": "Henry coefficients of CO2, N2 and CH4 in MFI at 300 K, Ewald (RASPA3).",
    "G6": "CO2 uptake of MFI at 353 K and 1 bar (RASPA3 manual).",
    "G7": "CO2 uptake of MFI at 298 K and 10 kPa (gRASPA).",
    "G9": "Henry coefficients in IRMOF-1 at 300 K (RASPA3).",
    "G10": "CO2 in IRMOF-1 at 300 K and 1 bar (RASPA3).",
    "G11": "CO2 in Cu-BTC at 323 K (RASPA2, RASPA3).",
    "G14": "Henry coefficient of CO2 in Mg-MOF-74 at 273 K (gRASPA).",
    "G15": "CO2 in Mg-MOF-74 at 313 K and 10 bar (gRASPA).",
    "G16": "CO2/CH4 50:50 in MATVAF at 296 K and 5 bar (gRASPA, Bae 2008).",
    "G17": "CO2 in UiO-66 with DDEC charges at 298.15 K and 10 kPa, tail correction (kUPS).",
    "G18": "Henry coefficients in UiO-66 without tail correction (RASPA3).",
    "G19": "Henry coefficients in UiO-66 with tail correction (RASPA3).",
    "G20": "CO2 isotherm of UiO-66 without tail correction (RASPA3).",
    "G21": "Xe in SBMOF-1 at 298 K (PorousMaterials.jl).",
    "G22": "CO2 in CAXVII at 298 K (PorousMaterials.jl).",
    "G23": "Kr/Xe 90:10 in SBMOF-1 at 298 K (RASPA2).",
    "G28": "Accessible surface and helium void fraction of IRMOF-1 (RASPA2).",
    "G30": "Argon uptake of silica zeolites at 87 K and 1 atm (Sarkisov et al. 2020).",
    "G29": "Largest free and included spheres of MFI, LTA and CHA.",
}

_HEAD = """# Results

Every figure the project claims, as measured. One section an id, the latest measurement shown; earlier ones stay in
`results.jsonl`. The ratio is our value over the peer's. Written by `python benchmarks/make_results.py`: edit nothing.
"""


def render(lines: Iterable[str]) -> str:
    """The text of RESULTS.md for the lines of results.jsonl.

    Raises:
        InputError: a line is not a measurement, naming its number.
    """
    groups: dict[str, list[dict[str, Any]]] = {}
    for number, line in enumerate(lines, start=1):
        if line.strip():
            measurement = _parse(line, number)
            groups.setdefault(measurement["id"], []).append(measurement)
    if not groups:
        return _HEAD + "\nNothing has been measured yet.\n"
    names = sorted(groups, key=_order)
    table = ["| id | what | value | peer | ratio | measured |", "|---|---|---|---|---|---|"]
    table += [_table_row(groups[name][-1]) for name in names]
    return "\n".join([_HEAD, *table, "", *(_section(groups[name]) for name in names)])


def write_results(results: Path = RESULTS, page: Path = PAGE) -> Path:
    """Render `results` into `page` (atomically) and return `page`."""
    return write_atomic(page, render(results.read_text(encoding="utf-8").splitlines() if results.exists() else []))


def explain(id: str) -> str:
    """The sentence that says what an id measures; an id nobody explained says so."""
    return WHAT.get(id) or WHAT.get(id.rstrip("abcdefghijklmnopqrstuvwxyz")) or "See its protocol."


def _parse(line: str, number: int) -> dict[str, Any]:
    try:
        measurement = json.loads(line)
        for key in ("id", "value", "unit", "protocol", "data_sha256", "seed", "command", "commit", "hardware", "date"):
            measurement[key]
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"results.jsonl, line {number} is not a measurement ({error}): restore it from git") from None
    return measurement


def _order(id: str) -> tuple[str, int, str]:
    letters, digits, tail = re.fullmatch(r"([A-Z]+)([0-9]+)([a-z]*)", id).groups()  # type: ignore[union-attr]
    return letters, int(digits), tail


def _table_row(latest: dict[str, Any]) -> str:
    peer = _quantity(latest["peer_value"], latest["unit"]) if latest.get("peer_value") is not None else ""
    ratio = f"{latest['ratio']:.3g}" if latest.get("ratio") is not None else ""
    value = _quantity(latest["value"], latest["unit"])
    cells = [f"[{latest['id']}](#{latest['id'].lower()})", explain(latest["id"]), value, peer, ratio]
    return "| " + " | ".join(_cell(cell) for cell in [*cells, latest["date"][:10]]) + " |"


def _section(history: list[dict[str, Any]]) -> str:
    latest = history[-1]
    lines = [f"## {latest['id']}", "", explain(latest["id"]), ""]
    lines.append(f"- value: **{_quantity(latest['value'], latest['unit'])}**")
    if latest.get("peer"):
        against = [latest["peer"]]
        if latest.get("peer_value") is not None:
            against.append(_quantity(latest["peer_value"], latest["unit"]))
        if latest.get("ratio") is not None:
            against.append(f"ratio {latest['ratio']:.3g}")
        lines.append(f"- peer: {', '.join(against)}")
    lines.append(f"- protocol: {latest['protocol']}")
    if latest.get("note"):
        lines.append(f"- note: {latest['note']}")
    seed = "none" if latest["seed"] is None else latest["seed"]
    lines.append(f"- data SHA-256: {latest['data_sha256'] or 'no data file'}; seed: {seed}")
    lines.append(f"- command: `{latest['command']}`")
    lines.append(f"- commit {latest['commit']}; {latest['hardware']}; {latest['date']}")
    lines.append(f"- versions: {', '.join(f'{name} {version}' for name, version in latest['versions'].items())}")
    if len(history) > 1:
        earlier = ", ".join(f"{old['value']:.6g} ({old['date'][:10]})" for old in history[-2:-7:-1])
        lines.append(f"- measured {len(history)} times; before: {earlier}")
    return "\n".join([*lines, ""])


def _quantity(value: float, unit: str) -> str:
    return f"{value:.6g} {unit}".strip()


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    print(f"wrote {write_results().name}")
