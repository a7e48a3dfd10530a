"""Data sets and loaders of PyTorch are evaluated as they are, against the same data as mappings."""

import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.utils.data import (  # noqa: E402
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
)

from rfp_jax.convert import from_torch  # noqa: E402
from rfp_jax.tables import Columns, RunOptions, evaluate  # noqa: E402

QUIET = RunOptions(progress=False, chunk=4)
FIELDS = ("optical", "sar", "label")
RNG = np.random.default_rng(0)
OPTICAL = RNG.normal(size=(7, 3, 4, 4)).astype("float32")
SAR = RNG.normal(size=(7, 2, 4, 4)).astype("float32")
LABELS = np.arange(7) % 3


class Fusion(torch.nn.Module):
    """Two branches, channels first."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.optical, self.sar = torch.nn.Conv2d(3, 4, 3), torch.nn.Conv2d(2, 4, 3)
        self.head = torch.nn.Linear(8, 3)

    def forward(self, optical, sar):
        both = torch.cat([self.optical(optical), self.sar(sar)], 1).relu()
        return self.head(both.mean((2, 3)))


class Pairs(Dataset):
    """Samples as mappings of tensors."""

    def __len__(self):
        return 7

    def __getitem__(self, index):
        return {
            "optical": torch.tensor(OPTICAL[index], requires_grad=True),
            "sar": torch.tensor(SAR[index]),
            "label": torch.tensor(LABELS[index]),
        }


class Endless(IterableDataset):
    def __iter__(self):
        yield from ()


def tensors():
    return TensorDataset(*map(torch.from_numpy, (OPTICAL, SAR, LABELS)))


def mappings():
    rows = zip(OPTICAL, SAR, LABELS, strict=True)
    return [dict(zip(FIELDS, row, strict=True)) for row in rows]


def table_of(tmp_path, data, name="t", **options):
    fun, params = from_torch(Fusion().eval())
    return evaluate(
        fun,
        data,
        tmp_path / name,
        params=params,
        sources=FIELDS[:2],
        classes=("forest", "water", "urban"),
        run=QUIET,
        **options,
    ).load()


@pytest.mark.parametrize(
    ("data", "options"),
    [
        (tensors, {"columns": FIELDS}),
        (tensors, {"columns": Columns(fields=FIELDS)}),
        (Pairs, {}),
        (lambda: DataLoader(tensors(), batch_size=3, shuffle=True), {"columns": FIELDS}),
    ],
    ids=["tuples", "fields", "mappings", "loader"],
)
def test_data_of_pytorch_gives_the_table_of_the_same_arrays(tmp_path, data, options):
    expected = table_of(tmp_path, mappings(), "expected")
    found = table_of(tmp_path, data(), **options)
    assert (found.failure == "").all()
    np.testing.assert_array_equal(found.relevance, expected.relevance)
    np.testing.assert_array_equal(found.label, LABELS)
    with torch.no_grad():
        outputs = Fusion().eval()(torch.from_numpy(OPTICAL), torch.from_numpy(SAR)).numpy()
    np.testing.assert_allclose(found.output, outputs, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.relevance.sum("source"), outputs, rtol=1e-4, atol=1e-5)


def test_half_precision_tensors_keep_their_numbers(tmp_path):
    half = torch.from_numpy(OPTICAL).to(torch.bfloat16)
    data = TensorDataset(half, torch.from_numpy(SAR), torch.from_numpy(LABELS))
    found = table_of(tmp_path, data, columns=FIELDS, dtype="float32")
    rows = zip(np.asarray(jnp.asarray(OPTICAL, jnp.bfloat16), "float32"), SAR, LABELS, strict=True)
    expected = table_of(tmp_path, [dict(zip(FIELDS, row, strict=True)) for row in rows], "e")
    np.testing.assert_array_equal(found.relevance, expected.relevance)


def test_a_part_of_a_data_set_is_a_data_set(tmp_path):
    found = table_of(tmp_path, Subset(tensors(), [5, 1]), columns=FIELDS)
    assert found.label.values.tolist() == [2, 1]


@pytest.mark.parametrize(
    ("data", "error", "text"),
    [
        (Endless, TypeError, "Endless has no random access"),
        (lambda: DataLoader(Endless()), TypeError, "Endless has no random access"),
        (
            lambda: DataLoader(tensors(), sampler=SubsetRandomSampler([1, 2])),
            ValueError,
            "SubsetRandomSampler leaves samples out or repeats them: .*Subset",
        ),
        (
            lambda: DataLoader(tensors(), sampler=RandomSampler(tensors(), replacement=True)),
            ValueError,
            "RandomSampler leaves samples out or repeats them",
        ),
        (
            lambda: DataLoader(tensors(), collate_fn=lambda rows: rows),
            ValueError,
            "puts samples together with <lambda>",
        ),
    ],
)
def test_what_cannot_be_read_at_random_is_refused(tmp_path, data, error, text):
    with pytest.raises(error, match=text):
        table_of(tmp_path, data(), columns=FIELDS)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, r'got tuple; name its 3 parts, columns=\("optical", "sar", "label"\)'),
        ({"columns": FIELDS[:2]}, "the sample has 3 parts, but 2 fields are named: optical, sar"),
    ],
)
def test_tuples_need_their_names(tmp_path, options, text):
    with pytest.raises(ValueError, match=text):
        table_of(tmp_path, tensors(), **options)


def test_one_name_is_not_a_sequence_of_names(tmp_path):
    with pytest.raises(TypeError, match="columns must be Columns or a sequence of names"):
        table_of(tmp_path, tensors(), columns="optical")
