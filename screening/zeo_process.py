"""One Zeo++ calculation in a process of its own: `python -m screening.zeo_process FOLDER`.

Zeo++ prints, and where its Voronoi network does not close it ends the whole process; so it never runs inside
ours. Reads `request.json` and `structure.v1` in FOLDER and writes `result.json` there.
"""

import ctypes
import json
import signal
import sys
from pathlib import Path


def main(folder: Path) -> None:
    """Pore diameters, surface and volume of one structure.

    Args:
        folder: holds `structure.v1` (cell vectors, Cartesian atoms, Å) and `request.json` with
            `probe_radius` (Å), `surface_samples` (per atom) and `volume_samples`.
    """
    if sys.platform == "linux":
        pr_set_pdeathsig = 1  # this process ends with the worker that started it, however that ends
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    from pyzeo.area_volume import surface_area, volume
    from pyzeo.netstorage import AtomNetwork

    request = json.loads((folder / "request.json").read_text())
    probe = request["probe_radius"]
    source = str(folder / "structure.v1")
    AtomNetwork.read_from_V1(source, rad_flag=True).calculate_free_sphere_parameters(str(folder / "diameters.res"))
    diameters = (folder / "diameters.res").read_text().split()[-3:]
    area = surface_area(AtomNetwork.read_from_V1(source, rad_flag=True), probe, probe, request["surface_samples"])
    void = volume(AtomNetwork.read_from_V1(source, rad_flag=True), probe, probe, request["volume_samples"])
    result = {"diameters": [float(value) for value in diameters], "area": area.decode(), "volume": void.decode()}
    (folder / "result.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
