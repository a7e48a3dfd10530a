"""Several processes look for damage together: each reads its part, and all hear of it."""

import pytest

from rfp_jax._runs import sealed
from rfp_jax.maps import _journal as of_maps
from rfp_jax.tables._evaluate import journal as of_tables
from rfp_jax.tables._evaluate.plan import Chunks

SOUND = {0: True, 1: False, 2: False, 3: True, 5: True, 6: False}
"""Committed chunks, and whether their files are what was committed; 4 and 7 are not committed."""


@pytest.fixture
def table(tmp_path, monkeypatch):
    read = []

    def is_sound(folder, record, *, thorough):
        if thorough:
            read.append(record["chunk"])
        return record["sound"] or not thorough  # the sizes are right

    monkeypatch.setattr(of_tables.layout, "is_sound", is_sound)
    monkeypatch.setattr(of_tables.Journal, "_identity", lambda self: "this one")
    journal = of_tables.Journal(tmp_path / "table.zarr")
    journal.partial.marker(0).parent.mkdir(parents=True)
    for chunk, sound in SOUND.items():
        journal._mark(chunk, {"chunk": chunk, "sound": sound})
    return journal, read


def test_each_reads_its_part_of_a_table(table):
    journal, read = table
    chunks = Chunks(8, 1)
    journal.forget_damaged(chunks, (1, 3, 5, 7))
    assert read == [1, 3, 5]
    found = journal.committed(chunks, thorough=False)
    assert [i for i, record in enumerate(found) if record] == [0, 2, 3, 5, 6]
    journal.forget_damaged(chunks, (0, 2, 4, 6))
    found = journal.committed(chunks, thorough=False)
    assert [i for i, record in enumerate(found) if record] == [0, 3, 5]
    assert read == [1, 3, 5, 0, 2, 6]  # nobody reads twice


def test_each_reads_its_part_of_a_map(tmp_path, monkeypatch):
    journal = of_maps.Journal(tmp_path / "map.zarr")
    monkeypatch.setattr(of_maps.Journal, "attributes", lambda self: {"identity": "this one"})
    journal.partial.marker(0).parent.mkdir(parents=True)
    journal.scene.mkdir()
    for tile, sound in SOUND.items():
        (journal.scene / str(tile)).write_bytes(b"as it was")
        files = {str(tile): sealed.stamp(journal.scene / str(tile))}
        record = {"counts": {}, "files": files}
        marker = {"attributes": {"map": "this one", "tile": tile, "record": record}}
        sealed.write(journal.partial.marker(tile), sealed.seal(marker))
        if not sound:
            (journal.scene / str(tile)).write_bytes(b"as it is.")
    plan = range(8)
    assert sum(record is not None for record in journal.committed(plan, thorough=False)) == 6
    journal.forget_damaged(plan, (1, 3, 5, 7))
    found = journal.committed(plan, thorough=False)
    assert [i for i, record in enumerate(found) if record] == [0, 2, 3, 5, 6]
