"""The store: commits that happen once, errors that are one sentence, a file that survives its driver."""

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymatgen.core import Lattice, Structure

from potentials.errors import InputError
from potentials.files import sha256_json
from screening.candidate import Evaluation, Property, Snapshot, content_id
from screening.geometry_json import decode_structure, encode_structure, formula_columns
from screening.store import PROPOSED, Store
from screening.store_schema import SCHEMA_VERSION, TABLES
from screening.tasks import encode_evaluation

META: dict[str, Any] = {
    "name": "test",
    "question": "Which?",
    "config": {"seed": 1, "stages": [{"name": "one", "settings": {}}, {"name": "two", "settings": {}}]},
    "config_hash": "abc",
    "versions": {"python": "3"},
}


def rock_salt(edge: float) -> Structure:
    return Structure(Lattice.cubic(edge), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def proposal(index: int, edge: float | None) -> dict[str, Any]:
    if edge is None:
        return {"index": index, "id": None, "provenance": {}, "failure": "no partner", "wall_seconds": 0.1}
    structure = rock_salt(edge)
    return {
        "index": index,
        "id": content_id(structure),
        "structure": encode_structure(structure),
        **formula_columns(structure),
        "provenance": {"proposer": "test", "index": index},
        "failure": None,
        "wall_seconds": 0.5,
    }


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.create(tmp_path / "store.sqlite", META) as store:
        yield store


def fill(store: Store) -> list[str]:
    for index, edge in enumerate((4.0, 5.0, None, 4.0)):
        store.commit_proposal(proposal(index, edge))
    return [identity for _, identity in store.survivors()]


def fill_many(store: Store, indices: range = range(60)) -> None:
    with store.transaction():
        for index in indices:
            store.commit_proposal(proposal(index, 3.0 + index / 100))


def fill_and_fail(store: Store) -> None:
    with store.transaction():
        fill(store)
        raise KeyError("x")


def content_of(store: Store) -> str:
    """The whole content, to see that nothing changed."""
    return "\n".join(store._connection.iterdump())


def test_proposals_become_rows(store: Store) -> None:
    assert store.commit_proposal(proposal(0, 4.0))
    assert store.commit_proposal(proposal(1, None))
    snapshot = store.snapshot()
    built, unbuilt = snapshot.rows
    assert (built.state, built.stage, built.reason) == ("active", None, None)
    assert built.candidate is not None
    assert built.candidate.structure == rock_salt(4.0)
    assert built.candidate.id == content_id(rock_salt(4.0))
    assert built.provenance == {"proposer": "test", "index": 0}
    assert (unbuilt.state, unbuilt.stage, unbuilt.reason, unbuilt.candidate) == (
        "unbuilt",
        PROPOSED,
        "no partner",
        None,
    )
    assert snapshot.stages == (PROPOSED, "one", "two")
    assert snapshot.wall_seconds[PROPOSED] == pytest.approx(0.6)


def test_a_proposal_is_committed_once(store: Store) -> None:
    store.commit_proposal(proposal(0, 4.0))
    before = content_of(store)
    assert not store.commit_proposal(proposal(0, 5.0))
    assert content_of(store) == before


def test_an_evaluation_is_committed_once(store: Store) -> None:
    first, *_ = fill(store)
    moved = Evaluation((Property("a", 1.0, "eV", 0.1, "method", "note"),), structure=rock_salt(4.5))
    other = Evaluation((Property("a", 2.0, "eV"), Property("b", 3.0, "eV")), "rejected now", rock_salt(9.0))
    assert store.commit_evaluation(first, "one", encode_evaluation(moved), 2.0)
    before = content_of(store)
    assert not store.commit_evaluation(first, "one", encode_evaluation(other), 5.0)
    assert not store.commit_failure(first, "one", "died", 5.0)
    assert content_of(store) == before
    candidate = store.snapshot().rows[0].candidate
    assert candidate is not None
    assert candidate.properties == {"a": Property("a", 1.0, "eV", 0.1, "method", "note")}
    assert candidate.structure == rock_salt(4.5)
    assert candidate.id == first == content_id(rock_salt(4.0))  # keeps the hash of what was proposed


def test_the_later_stage_wins_and_geometry_moves_on(store: Store) -> None:
    first, *_ = fill(store)
    for stage, value in (("two", 2.0), ("one", 1.0)):  # whatever the order of commits
        found = Evaluation((Property("a", value, ""),), structure=rock_salt(4.0 + value / 10))
        store.commit_evaluation(first, stage, encode_evaluation(found), 1.0)
    assert store.properties(first)["a"].value == 2.0
    revisions = store._rows("SELECT revision, stage FROM geometry WHERE id = ? ORDER BY revision", first)
    assert revisions == [(0, PROPOSED), (1, "two"), (2, "one")]


def test_rejections_and_failures_leave_the_funnel_with_their_reason(store: Store) -> None:
    first, second, _twin = fill(store)
    store.commit_evaluation(second, "one", encode_evaluation(Evaluation((), "overlap")), 1.0)
    store.commit_failure(first, "one", "died", 1.0)
    rows = store.snapshot().rows
    assert [(row.state, row.stage, row.reason) for row in rows[:2]] == [
        ("failed", "one", "died"),
        ("rejected", "one", "overlap"),
    ]
    assert store.counts()["failed"] >= 1


def test_a_loss_is_final(store: Store) -> None:
    fill(store)
    store.lose(0, "not selected", "one", "ranked 5th")
    store.lose(0, "rejected", "two", "later")
    assert store.snapshot().rows[0].reason == "ranked 5th"


def test_a_duplicate_row_has_the_structure_but_not_the_numbers(store: Store) -> None:
    first, *_ = fill(store)
    store.lose(3, "rejected", PROPOSED, "identical to proposal 0")
    store.commit_evaluation(first, "one", encode_evaluation(Evaluation((Property("a", 1.0, ""),))), 1.0)
    rows = store.snapshot().rows
    assert rows[0].candidate is not None
    assert rows[0].state == "active"
    assert "a" in rows[0].candidate.properties
    assert rows[3].candidate is not None
    assert rows[3].candidate.id == first
    assert rows[3].candidate.properties == {}


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_the_first_of_equal_proposals_gives_the_geometry(store: Store, order: tuple[int, ...]) -> None:
    """Equal to the digits of the hash, not to the last bit; the order of arrival is the workers' affair."""
    edges = {0: 4.00001, 1: 4.00002, 2: 4.00003}
    for index in order:
        store.commit_proposal(proposal(index, edges[index]))
    assert len({identity for _, identity in store.survivors()}) == 1
    assert decode_structure(store.candidate_values(0)["structure"]) == rock_salt(4.00001)


def test_numbers_that_are_not_finite_are_stored_as_missing(store: Store) -> None:
    first, *_ = fill(store)
    found = Evaluation((Property("a", float("nan"), "eV", std=float("inf"), note="n"), Property("b", -0.0, "")))
    store.commit_evaluation(first, "one", encode_evaluation(found), 1.0)
    properties = store.properties(first)
    assert properties["a"] == Property("a", None, "eV", None, "", "n; the evaluator returned nan")
    assert properties["b"].value == 0.0


def test_leases_end_with_the_commit_and_are_voided(store: Store) -> None:
    first, second, _ = fill(store)
    for identity in (first, second):
        store.lease("one", identity, 1, 60.0)
    store.commit_failure(first, "one", "died", 1.0)
    assert store._rows("SELECT subject FROM lease") == [(second,)]
    assert store.void_leases() == 1
    assert store.void_leases() == 0


def test_deaths_add_up(store: Store) -> None:
    assert [store.record_death("one", "x", "killed") for _ in range(3)] == [1, 2, 3]
    assert store.deaths("one") == {"x": 3}
    assert store.deaths("two") == {}


def test_decisions_need_a_verdict(store: Store) -> None:
    first, *_ = fill(store)
    store.record_decision(first, "approved", "Ada", "stable")
    with pytest.raises(sqlite3.IntegrityError):
        store.record_decision(first, "maybe", "Ada", "")  # type: ignore[arg-type]
    assert store._rows("SELECT verdict, person, reason FROM decision") == [("approved", "Ada", "stable")]


def test_events_are_append_only(store: Store) -> None:
    store.log("something")
    for statement in ("DELETE FROM event", "UPDATE event SET kind = 'else'"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            store._connection.execute(statement)


def test_a_transaction_is_all_or_nothing(store: Store) -> None:
    before = content_of(store)
    with pytest.raises(KeyError):
        fill_and_fail(store)
    assert content_of(store) == before


def test_columns_carry_optimade_names(store: Store) -> None:
    fill(store)
    rows = store._rows("SELECT chemical_formula_reduced, elements, nelements, nsites FROM candidate")
    assert rows == [("ClNa", '["Cl", "Na"]', 2, 2)] * 2


def test_a_reader_sees_a_running_campaign_and_cannot_write(store: Store) -> None:
    fill(store)
    with Store.open(store.path) as reader:
        assert len(reader.snapshot().rows) == 4
        store.commit_proposal(proposal(4, 6.0))
        assert len(reader.snapshot().rows) == 5
        with pytest.raises(InputError, match="read-only"):
            reader.log("something")


def test_a_second_writer_is_refused_and_told_who_holds_it(store: Store) -> None:
    with pytest.raises(InputError, match="open for writing in this process"):
        Store.open(store.path, "w")
    code = f"from screening.store import Store; Store.open({str(store.path)!r}, 'w')"
    second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert f"in use by process {os.getpid()} on" in second.stderr


def test_the_lock_of_a_dead_writer_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    code = (
        "import os, signal; from screening.store import Store; "
        f"store = Store.create({str(path)!r}, {META!r}); store.lease('one', 'x', 1, 60.0); "
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    with Store.open(path, "w") as store:
        assert store.void_leases() == 1


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION + 1))
def test_a_store_of_every_schema_version_stays_readable(tmp_path: Path, version: int) -> None:
    path = tmp_path / "store.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(Path(__file__).with_name(f"store_schema_{version}.sql").read_text())
    with Store.open(path, "w") as store:
        assert store.void_leases() == 1
        assert store.deaths("one") == {content_id(rock_salt(5.0)): 1}
        rows = store.snapshot().rows
    assert [(row.state, row.stage) for row in rows] == [
        ("active", None),
        ("failed", "one"),
        ("unbuilt", PROPOSED),
        ("rejected", PROPOSED),
    ]
    second = rows[1].candidate
    assert second is not None
    assert [m.source for m in second.measurements] == (["10.1000/xyz"] if version >= 2 else [])
    first = rows[0].candidate
    assert first is not None
    assert first.structure == rock_salt(4.5)
    assert first.id == content_id(rock_salt(4.0))
    assert first.properties == {
        "a": Property("a", 1.5, "eV", 0.25, "method", "note"),
        "b": Property("b", None, "Å", note="no atoms"),
    }


def test_a_changed_schema_needs_a_new_version() -> None:
    """If this fails: raise SCHEMA_VERSION, teach `Store.open` the old one, and keep a small store of the new one."""
    assert sha256_json([SCHEMA_VERSION, *TABLES.split()])[:16] == "8c404d45685b16a3"


# Files that are not a usable store


def refusal(path: Path, mode: str = "r") -> str:
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(InputError) as caught, Store.open(path, mode) as store:  # type: ignore[arg-type]
        store.snapshot()
    assert (path.read_bytes() if path.is_file() else None) == before, "a refused file must not change"
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("mode", ["r", "w"])
class TestRefusals:
    def test_missing(self, tmp_path: Path, mode: str) -> None:
        assert "there is no store" in refusal(tmp_path / "store.sqlite", mode)
        assert not list(tmp_path.iterdir())

    def test_folder(self, tmp_path: Path, mode: str) -> None:
        assert "there is no store" in refusal(tmp_path, mode)

    def test_empty(self, tmp_path: Path, mode: str) -> None:
        (tmp_path / "store.sqlite").touch()
        assert "is empty" in refusal(tmp_path / "store.sqlite", mode)

    def test_not_sqlite(self, tmp_path: Path, mode: str) -> None:
        (tmp_path / "store.sqlite").write_text("name: co2_flue_gas\n" * 100)
        assert "not an SQLite file" in refusal(tmp_path / "store.sqlite", mode)

    @pytest.mark.parametrize("journal", ["delete", "wal"])
    def test_foreign(self, tmp_path: Path, mode: str, journal: str) -> None:
        with sqlite3.connect(tmp_path / "store.sqlite") as connection:
            connection.execute(f"PRAGMA journal_mode = {journal}")
            connection.execute("CREATE TABLE systems (id INTEGER)")
        connection.close()
        assert "not a Sorbus store" in refusal(tmp_path / "store.sqlite", mode)

    def test_newer(self, store: Store, mode: str) -> None:
        store._connection.execute("PRAGMA user_version = 99")
        store.close()
        assert "newer Sorbus (schema 99" in refusal(store.path, mode)

    def test_garbled(self, store: Store, mode: str) -> None:
        fill_many(store)
        store.close()
        data = bytearray(store.path.read_bytes())
        start = len(data) // 3 // 4096 * 4096
        data[start:] = b"\xa5" * (len(data) - start)
        store.path.write_bytes(bytes(data))
        assert "is damaged" in refusal(store.path, mode)

    def test_truncated(self, store: Store, mode: str) -> None:
        fill_many(store)
        store.close()
        store.path.write_bytes(store.path.read_bytes()[:20_000])
        assert "is damaged" in refusal(store.path, mode)

    def test_unreadable_structure(self, store: Store, mode: str) -> None:
        store.commit_proposal(proposal(0, 4.0))
        broken = json.dumps({"lattice_vectors": [[1, 0], [0, 1]], "species_at_sites": [], "@class": "Popen"})
        store._connection.execute("UPDATE geometry SET structure = ?", (broken,))
        store.close()
        assert "damaged" in refusal_of_content(store.path, mode)


def refusal_of_content(path: Path, mode: str) -> str:
    with pytest.raises(InputError) as caught, Store.open(path, mode) as store:  # type: ignore[arg-type]
        store.snapshot()
    return str(caught.value)


def test_create_does_not_overwrite(store: Store) -> None:
    store.close()
    before = store.path.read_bytes()
    with pytest.raises(InputError, match="exists already"):
        Store.create(store.path, META)
    assert store.path.read_bytes() == before


def test_a_full_disk_is_one_sentence_and_the_store_stays_intact(store: Store) -> None:
    fill(store)
    before = content_of(store)
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(InputError, match=r"no space left .* run the same command to go on"):
        fill_many(store, range(10, 200))
    assert content_of(store) == before
    store._connection.execute("PRAGMA max_page_count = 1000000")
    assert store.commit_proposal(proposal(10, 7.0))


def test_a_file_size_limit_is_one_sentence_too(tmp_path: Path) -> None:
    """RLIMIT_FSIZE makes real writes fail, as a quota does."""
    path = tmp_path / "store.sqlite"
    Store.create(path, META).close()
    code = f"""
import resource, signal
from screening.store import Store
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = Store.open({str(path)!r}, "w")
resource.setrlimit(resource.RLIMIT_FSIZE, ({path.stat().st_size} + 8192,) * 2)
try:
    for n in range(1000):
        store.log("something", detail="x" * 1000)
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("InputError"), done.stderr
    assert "run the same command to go on" in done.stdout
    with Store.open(path, "w") as store:
        assert store.snapshot().rows == ()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder any user may enter (pytest's own are private), while we are not root."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    os.seteuid(os.getuid())
    folder.chmod(0o755)
    shutil.rmtree(folder)


def drop_root() -> None:
    """Root may write anywhere; permissions mean something to anybody else."""
    if os.getuid() == 0:
        os.seteuid(65534)


def test_a_read_only_store_is_read_but_not_written(open_folder: Path) -> None:
    path = open_folder / "store.sqlite"
    with Store.create(path, META) as store:
        fill(store)
    path.with_name("store.sqlite.lock").chmod(0o666)
    path.chmod(0o444)
    open_folder.chmod(0o555)
    drop_root()
    with Store.open(path) as reader:
        assert len(reader.snapshot().rows) == 4
    with pytest.raises(InputError, match=r"is read-only: make it and its folder writable"):
        Store.open(path, "w")


def test_a_read_only_folder_is_one_sentence(open_folder: Path) -> None:
    open_folder.chmod(0o555)
    drop_root()
    with pytest.raises(InputError, match=r"cannot write .*choose a folder you may write to"):
        Store.create(open_folder / "run" / "store.sqlite", META)


WRITER = """
import sys
sys.path[:0] = [{tests!r}]
from test_store import META, proposal
from screening.store import Store
store = Store.open({path!r}, "w")
print("ready", flush=True)
for index in range(max(store.proposed(), default=-1) + 1, 100000):
    with store.transaction():
        store.commit_proposal(proposal(index, 3.0 + index / 1000))
        store.lose(index, "rejected", "one", f"number {{index}}")
"""


def test_a_writer_killed_at_any_moment_leaves_whole_transactions(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    Store.create(path, META).close()
    seen = 0
    for delay in (0.0, 0.013, 0.05, 0.111):
        code = WRITER.format(tests=str(Path(__file__).parent), path=str(path))
        writer = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        writer.stdout.readline()
        with pytest.raises(subprocess.TimeoutExpired):
            writer.wait(timeout=delay)
        writer.kill()
        writer.wait()
        writer.stdout.close()
        with Store.open(path) as store:  # a reader rolls back what was half-written
            snapshot: Snapshot = store.snapshot()
        assert [row.index for row in snapshot.rows] == list(range(len(snapshot.rows)))
        assert all((row.state, row.reason) == ("rejected", f"number {row.index}") for row in snapshot.rows)
        assert len(snapshot.rows) >= seen
        seen = len(snapshot.rows)
    assert seen > 0
    Store.open(path, "w").close()  # checks every page
