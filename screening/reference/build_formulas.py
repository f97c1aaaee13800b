"""Make `framework_formulas.txt.gz`: reduced formulas of published frameworks.

    python -m screening.reference.build_formulas

Reads the CIF archives of the public data sets (CoRE MOF 2019 ASR and FSR, Chung et al., J. Chem. Eng. Data 2019;
CoRE MOF with DDEC charges; CURATED COFs, Ongari et al., ACS Cent. Sci. 2019) and keeps nothing but the
composition of each, divided by its greatest common divisor. All files list every atom (P1).
"""

import gzip
import re
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ase.data import atomic_numbers
from pymatgen.io.cif import CifBlock
from tqdm import tqdm

from potentials.errors import InputError
from potentials.files import data_root, write_atomic
from screening.matching import formula_of_counts

FORMULAS_PATH = Path(__file__).with_name("framework_formulas.txt.gz")
ARCHIVES = (
    "sorbents/coremof2019/CoRE_v2_ASR.tar.xz",
    "sorbents/coremof2019/CoRE_v2_FSR.tar.xz",
    "sorbents/coremof_ddec/ddec_xtals_open.tar.xz",
    "sorbents/curated_cofs/cifs.tar.xz",
)


def element_counts(text: str) -> Counter[str]:
    """How many atoms of each element a P1 CIF lists.

    Raises:
        InputError: no atom sites can be read.
    """
    start = text.find("data_")  # some files begin with a line of their own
    body = re.sub(r"(_symmetry_space_group_name_H-M\s+)P\s?1\s*$", r"\1'P 1'", text[start:], flags=re.MULTILINE)
    try:
        data = CifBlock.from_str(body).data
    except (IndexError, ValueError, ZeroDivisionError) as error:
        raise InputError(f"not a CIF file: {error}") from None
    symbols = data.get("_atom_site_type_symbol") or data.get("_atom_site_label")
    if not symbols:
        raise InputError("the CIF lists no atoms")
    return Counter(_element(symbol) for symbol in symbols)


def _element(symbol: str) -> str:
    letters = "".join(c for c in symbol if c.isalpha())[:2].capitalize()
    return letters if letters in atomic_numbers else letters[:1]


def _texts(archive: Path) -> Iterator[tuple[str, str]]:
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.isfile() and member.name.endswith(".cif"):
                stream = tar.extractfile(member)
                if stream is not None:
                    yield member.name, stream.read().decode("utf-8", errors="replace")


def main() -> None:
    """Write the list, one formula a line, sorted."""
    formulas: set[str] = set()
    read = failed = 0
    for name in ARCHIVES:
        for member, text in tqdm(_texts(data_root() / name), desc=Path(name).name, unit="cif"):
            try:
                formulas.add(formula_of_counts(element_counts(text)))
                read += 1
            except InputError as error:
                failed += 1
                print(f"{member}: {error}", file=sys.stderr)
    payload = gzip.compress("".join(f"{formula}\n" for formula in sorted(formulas)).encode(), mtime=0)
    write_atomic(FORMULAS_PATH, payload)
    print(f"{len(formulas)} formulas of {read} files ({failed} unreadable), {len(payload)} bytes -> {FORMULAS_PATH}")


if __name__ == "__main__":
    main()
