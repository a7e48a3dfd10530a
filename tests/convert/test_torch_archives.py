"""Archives of programs that would fill the memory, or that are damaged."""

import json
import re
import zipfile

import pytest

from rfp_jax.convert import ProgramError, from_torch

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A program with a parameter, as PyTorch writes it."""
    path = tmp_path_factory.mktemp("program") / "network.pt2"
    module = torch.nn.Linear(3, 2).eval()
    torch.export.save(torch.export.export(module, (torch.ones(1, 3),)), path)
    return path


def rewritten(saved, path, change, compression=zipfile.ZIP_STORED):
    """The archive with each entry's content changed, or compressed."""
    with zipfile.ZipFile(saved) as archive, zipfile.ZipFile(path, "w", compression) as other:
        for name in archive.namelist():
            other.writestr(name, change(name, archive.read(name)))
    return path


def as_it_is(_, content):
    return content


def test_a_program_rewritten_as_it_is_is_read(saved, tmp_path):
    _, params = from_torch(rewritten(saved, tmp_path / "same.pt2", as_it_is))
    assert params["weight"].shape == (2, 3)


def test_a_bomb_is_refused_before_it_is_unpacked(saved, tmp_path, monkeypatch):
    """64 megabytes of zeros in less than one, as a weight."""
    path = tmp_path / "bomb.pt2"
    path.write_bytes(saved.read_bytes())
    with (
        zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive,
        archive.open("network/data/weights/weight_7", "w", force_zip64=True) as entry,
    ):
        for _ in range(64):
            entry.write(bytes(2**20))
    assert path.stat().st_size < 2**20

    def unpacked(*_):
        raise AssertionError("an entry was unpacked")

    monkeypatch.setattr(zipfile.ZipFile, "read", unpacked)
    monkeypatch.setattr(torch.export, "load", unpacked)
    with pytest.raises(ProgramError, match=r"weight_7 is compressed, to \d+ from 67108864 bytes"):
        from_torch(path)


def test_entries_that_lie_over_one_another_are_refused(saved, tmp_path):
    """Entries of the directory that all point at the same bytes."""
    path = tmp_path / "overlapping.pt2"
    path.write_bytes(saved.read_bytes())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("network/data/weights/weight_5", bytes(20_000))
        (entry,) = (e for e in archive.infolist() if e.filename.endswith("weight_5"))
        for number in range(6, 26):
            copy = zipfile.ZipInfo(f"network/data/weights/weight_{number}")
            for name in ("header_offset", "CRC", "compress_size", "file_size"):
                setattr(copy, name, getattr(entry, name))
            archive.filelist.append(copy)
            archive.NameToInfo[copy.filename] = copy
    with pytest.raises(ProgramError, match=r"its members have \d+ bytes, it has \d+"):
        from_torch(path)


def test_tensors_that_show_the_same_numbers_again_and_again_are_refused(saved, tmp_path):
    """A weight of four terabytes: one number, with strides of 0."""

    def enlarged(name, content):
        if not name.endswith("model_weights_config.json"):
            return content
        config = json.loads(content)
        meta = config["config"]["weight"]["tensor_meta"]
        meta["sizes"] = [{"as_int": 10**6}, {"as_int": 10**6}]
        meta["strides"] = [{"as_int": 0}, {"as_int": 0}]
        return json.dumps(config).encode()

    path = rewritten(saved, tmp_path / "views.pt2", enlarged)
    with pytest.raises(ProgramError, match=r"they show the same numbers many times over\. Export"):
        from_torch(path)


def test_compressed_programs_are_refused(saved, tmp_path):
    path = rewritten(saved, tmp_path / "small.pt2", as_it_is, zipfile.ZIP_DEFLATED)
    with pytest.raises(ProgramError, match="expected stored members"):
        from_torch(path)


@pytest.mark.parametrize("damage", ["cut", "flipped", "json"])
def test_damaged_archives_are_named(damage, saved, tmp_path):
    path = tmp_path / "damaged.pt2"
    content = bytearray(saved.read_bytes())
    if damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        place = re.search(rb"models/model.json", content).end() + 200
        content[place] ^= 1
        path.write_bytes(content)
    else:
        broken = lambda name, text: b"{" if name.endswith("model.json") else text  # noqa: E731
        rewritten(saved, path, broken)
    with pytest.raises(ProgramError, match=r"damaged\.pt2 is"):
        from_torch(path)
