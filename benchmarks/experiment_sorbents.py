"""Well-known sorbents of which both a structure and measured CO2 isotherms are at hand.

Metal-organic frameworks come with the DDEC charges of the CoRE MOF DDEC set (UiO-66: of kUPS' tests), silica with
those of its force field. A sorbent was taken for being well known and at hand, before anything was computed. Left out
for lack of a fair structure: zeolites 13X, 5A and 4A (their mobile cations are in no file), the amino-functionalised
frameworks, MIL-101 (13,000 atoms a cell), carbons.
"""

import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pymatgen.core import Structure

from benchmarks.adsorption_structures import mfi
from benchmarks.charged_frameworks import DDEC_ARCHIVE
from potentials.files import data_root
from screening.adsorption.charge_dataset import read_charged_cif
from screening.adsorption.force_fields import HostGuestModel

UIO_66 = Path("sorbents/kups/statistical/inputs/host/RUBTAK.cif")
SILICA_ARCHIVE = Path("sorbents/raspa2/structures.tar.xz")
TRAPPE_ZEO = HostGuestModel(force_field="trappe-zeo")
UFF = HostGuestModel()  # UFF with TraPPE CO2, 12 Å with tail correction; charges are those of the structure


@dataclass(frozen=True)
class Sorbent:
    """A framework, where its structure lies, and under which keys its isotherms are filed."""

    name: str
    member: str  # of the archive, without ending; "" where the structure comes from elsewhere
    adsorbents: tuple[str, ...]  # last digits of NIST's adsorbent hash keys, all of them this material
    model: HostGuestModel = UFF
    remark: str = ""  # what a reader must know of the comparison


SORBENTS: Mapping[str, Sorbent] = {
    sorbent.name: sorbent
    for sorbent in (
        Sorbent("HKUST-1", "FIQCEN_clean", ("2da57e33",), remark="open Cu sites"),
        Sorbent("Mg-MOF-74", "MgMOF-74", ("d22defb9", "f270efcc"), remark="open Mg sites"),
        Sorbent("UiO-66", "", ("97715f0f", "a686697b"), remark="ideal, without missing linkers"),
        Sorbent("MIL-53(Al)", "SABVUN_clean", ("2698ab79",), remark="rigid, wide pore; the real one breathes"),
        Sorbent("Ni-MOF-74", "Ni-DOBDC", ("991a76d6", "07055261", "c437f425"), remark="open Ni sites"),
        Sorbent("Zn-MOF-74", "ZnMOF-74", ("08290958",), remark="open Zn sites"),
        Sorbent("Co-MOF-74", "Co-DOBDC", ("a3732a97",), remark="open Co sites"),
        Sorbent("MIL-47(V)", "MIL-47", ("3b377c56", "a7181713"), remark="rigid"),
        Sorbent("Fe-MOF-74", "CAXVII_clean", ("43ff8fa0",), remark="open Fe sites"),
        Sorbent("Zn(bdc)(ted)0.5", "ZnBDCdabco", ("0b51618c",)),
        Sorbent("silicalite", "", ("7031c67a", "520fde3b", "07a704c8", "5d35b10b"), TRAPPE_ZEO, "all-silica MFI"),
    )
}


def structure_of(sorbent: Sorbent) -> Structure:
    """The framework with its charges as the site property `charge`; silicalite's are the force field's."""
    if sorbent.name == "silicalite":
        return mfi()
    if sorbent.name == "UiO-66":
        return read_charged_cif(sorbent.name, (data_root() / UIO_66).read_text()).structure
    with tarfile.open(data_root() / DDEC_ARCHIVE) as tar:
        stream = tar.extractfile(f"ddec_xtals/{sorbent.member}.cif")
        assert stream is not None
        return read_charged_cif(sorbent.name, stream.read().decode(errors="replace")).structure
