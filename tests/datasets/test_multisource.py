"""The multi-source digits: what every setting does, and that a seed always gives the same set."""

import hashlib
import json

import grain
import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits as load_bundled_digits

from rfp_jax.datasets import (
    LabeledImages,
    MultiSource,
    MultiSourceConfig,
    SourceConfig,
    load_digits,
)

MAXIMUM = 16


@pytest.fixture(scope="module")
def digits():
    return load_digits("test")


def make(digits, **settings):
    return MultiSource(digits, MultiSourceConfig(**settings)).arrays()


def halves(digits):
    """Both halves of every image as they should be, by another formula than the library's."""
    scaled = digits.images.astype(np.float64) * 2 / digits.maximum - 1
    return scaled[:, :, :4], scaled[:, :, 4:]


def assert_same(first, second):
    jax.tree.map(np.testing.assert_array_equal, first, second)


# --- The bundled digits ---------------------------------------------------------------------------


def test_digits_split_is_complete_disjoint_and_stratified():
    images, labels = load_bundled_digits(return_X_y=True)
    train, test = load_digits("train"), load_digits("test")
    assert (len(train), len(test)) == (1437, 360)
    assert sorted([*train.ids, *test.ids]) == list(range(1797))
    for part in (train, test):
        np.testing.assert_array_equal(part.images.reshape(-1, 64), images[part.ids])
        np.testing.assert_array_equal(part.labels, labels[part.ids])
    fifth = np.bincount(labels) / 5
    assert np.all(np.abs(np.bincount(test.labels) - fifth) <= 1)


def test_digits_split_is_not_a_stretch_of_the_file():
    ids = load_digits("test").ids
    assert set(np.diff(ids)) > {1, 2, 3, 10}


# --- Sources --------------------------------------------------------------------------------------


def test_plain_halves(digits):
    batch = make(digits)
    for source, expected in zip(batch["images"], halves(digits), strict=True):
        assert source.dtype == np.float32
        np.testing.assert_array_equal(source, expected)
    np.testing.assert_array_equal(batch["label"], digits.labels)
    np.testing.assert_array_equal(batch["id"], digits.ids)
    for s in range(2):
        np.testing.assert_array_equal(batch["source_id"][:, s], digits.ids)
        np.testing.assert_array_equal(batch["source_label"][:, s], digits.labels)
    assert not batch["data_noise"].any()
    assert not batch["label_noise"].any()


def test_full_image_twice(digits):
    first, second = make(digits, view="full")["images"]
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, np.concatenate(halves(digits), axis=2))


def test_inversion_flips_the_sign_of_one_source(digits):
    left, right = make(digits, source2=SourceConfig(invert=True))["images"]
    expected_left, expected_right = halves(digits)
    np.testing.assert_array_equal(left, expected_left)
    np.testing.assert_array_equal(right, -expected_right)


def test_shuffle_permutes_every_image_in_its_own_way():
    ramp = np.broadcast_to(np.arange(64, dtype=np.uint8).reshape(8, 8, 1), (50, 8, 8, 1))
    ramps = LabeledImages(ramp, np.zeros(50, np.int32), np.arange(50), maximum=63)
    shuffled = SourceConfig(shuffle=True)
    first, second = make(ramps, view="full", source1=shuffled, source2=shuffled)["images"]
    orders = np.rint((np.stack([first, second]) + 1) * 31.5).astype(int).reshape(100, 64)
    assert np.all(np.sort(orders, axis=1) == np.arange(64))
    assert len({tuple(order) for order in orders}) == 100
    # Every pixel goes everywhere: the mean of 100 uniform places is 31.5, its deviation 1.85.
    assert np.all(np.abs(orders.mean(axis=0) - 31.5) < 5 * 1.85)


def test_shuffle_leaves_the_other_source_alone(digits):
    left, right = make(digits, source1=SourceConfig(shuffle=True))["images"]
    expected_left, expected_right = halves(digits)
    assert np.any(left != expected_left)
    np.testing.assert_array_equal(right, expected_right)


# --- Data noise -----------------------------------------------------------------------------------


@pytest.mark.parametrize("fraction", [0.0, 0.25, 0.5, 1.0])
def test_data_noise_hits_the_fraction_and_says_where(digits, fraction):
    batch = make(digits, source1=SourceConfig(data_noise=fraction))
    changed = np.any(batch["images"][0] != halves(digits)[0], axis=(1, 2, 3))
    np.testing.assert_array_equal(batch["data_noise"][:, 0], changed)
    assert changed.sum() == fraction * len(digits)
    assert not batch["data_noise"][:, 1].any()
    np.testing.assert_array_equal(batch["images"][1], halves(digits)[1])
    np.testing.assert_array_equal(batch["label"], digits.labels)


def test_data_noise_is_uniform_over_the_gray_levels(digits):
    noisy = SourceConfig(data_noise=1.0)
    left, right = make(digits, source1=noisy, source2=noisy)["images"]
    levels = np.rint((np.concatenate([left, right], axis=2) + 1) * MAXIMUM / 2).astype(int)
    counts = np.bincount(levels.ravel(), minlength=MAXIMUM + 1)
    expected = levels.size / (MAXIMUM + 1)
    chi_square = np.sum((counts - expected) ** 2 / expected)
    assert chi_square < 39.25  # exceeded once in a thousand with 16 degrees of freedom
    assert np.any(left != right)


def test_noisy_images_of_a_smaller_fraction_are_among_those_of_a_larger_one(digits):
    few = make(digits, source1=SourceConfig(data_noise=0.3))
    many = make(digits, source1=SourceConfig(data_noise=0.6))
    assert np.all(many["data_noise"][few["data_noise"]])
    noisy = few["data_noise"][:, 0]
    np.testing.assert_array_equal(few["images"][0][noisy], many["images"][0][noisy])


def test_training_and_test_images_do_not_share_their_noise(digits):
    config = MultiSourceConfig(source1=SourceConfig(data_noise=1.0))
    train = MultiSource(load_digits("train"), config)[0]["images"][0]
    test = MultiSource(digits, config)[0]["images"][0]
    assert np.any(train != test)


def test_sources_are_noisy_independently(digits):
    half = SourceConfig(data_noise=0.5)
    flags = make(digits, source1=half, source2=half)["data_noise"]
    both = flags.all(axis=1).sum()
    assert 60 < both < 120  # 90 expected, standard deviation 4.7


# --- Label noise ----------------------------------------------------------------------------------


def test_label_noise_exchanges_images_of_one_source(digits):
    batch = make(digits, source2=SourceConfig(label_noise=0.5))
    flags = batch["label_noise"]
    assert not flags[:, 0].any()
    assert flags[:, 1].sum() == 180
    shown = batch["source_id"][:, 1]
    assert sorted(shown) == sorted(digits.ids)
    np.testing.assert_array_equal(shown != digits.ids, flags[:, 1])
    place = {image: at for at, image in enumerate(digits.ids)}
    from_where = np.array([place[image] for image in shown])
    np.testing.assert_array_equal(batch["images"][1], halves(digits)[1][from_where])
    np.testing.assert_array_equal(batch["source_label"][:, 1], digits.labels[from_where])
    np.testing.assert_array_equal(batch["images"][0], halves(digits)[0])
    # The label is the one that the clean source shows.
    np.testing.assert_array_equal(batch["label"], batch["source_label"][:, 0])
    wrong = batch["source_label"][:, 1] != batch["label"]
    assert 0.8 < wrong[flags[:, 1]].mean() < 0.98  # nine in ten are of another class


def test_label_noise_in_both_sources_keeps_the_samples_own_label(digits):
    noisy = SourceConfig(label_noise=1.0)
    batch = make(digits, source1=noisy, source2=noisy)
    assert batch["label_noise"].all()
    np.testing.assert_array_equal(batch["label"], digits.labels)
    np.testing.assert_array_equal(batch["id"], digits.ids)
    first, second = batch["source_id"].T
    assert np.all(first != digits.ids)
    assert np.all(second != digits.ids)
    assert np.mean(first == second) < 0.05
    neither = np.all(batch["source_label"] != batch["label"][:, None], axis=1)
    assert neither.mean() > 0.7  # 0.81 expected: two wrong classes of ten


def test_an_exchanged_image_takes_its_data_noise_along(digits):
    mixed = SourceConfig(data_noise=0.5, label_noise=0.5)
    batch = make(digits, source1=mixed)
    plain = make(digits, source1=SourceConfig(data_noise=0.5))
    clean = zip(plain["data_noise"][:, 0], plain["images"][0], strict=True)
    of_image = dict(zip(plain["id"], clean, strict=True))
    for shown, noisy, image in zip(
        batch["source_id"][:, 0], batch["data_noise"][:, 0], batch["images"][0], strict=True
    ):
        assert noisy == of_image[shown][0]
        np.testing.assert_array_equal(image, of_image[shown][1])


def test_one_noisy_label_has_nothing_to_exchange(digits):
    batch = make(digits, source1=SourceConfig(label_noise=1 / 360))
    assert not batch["label_noise"].any()


@given(
    count=st.integers(2, 40),
    data_noise=st.floats(0, 1),
    label_noise=st.floats(0, 1),
    seed=st.integers(0, 2**63),
)
def test_flags_count_what_the_fractions_ask_for(count, data_noise, label_noise, seed):
    images = LabeledImages(
        np.zeros((count, 2, 2, 1), np.uint8), np.arange(count) % 10, np.arange(count), 255
    )
    spoilt = SourceConfig(data_noise=data_noise, label_noise=label_noise)
    batch = make(images, source1=spoilt, source2=spoilt, seed=seed)
    assert np.all(batch["data_noise"].sum(axis=0) == round(data_noise * count))
    exchanged = round(label_noise * count)
    assert np.all(batch["label_noise"].sum(axis=0) == (exchanged if exchanged > 1 else 0))
    assert np.all(np.sort(batch["source_id"], axis=0) == images.ids[:, None])


# --- Sums of labels -------------------------------------------------------------------------------


def test_sum_pairs_two_different_images(digits):
    batch = make(digits, sum_labels=True)
    first, second = batch["source_id"].T
    np.testing.assert_array_equal(first, digits.ids)
    assert np.all(first != second)
    label_of = dict(zip(digits.ids, digits.labels, strict=True))
    sums = [(label_of[a] + label_of[b]) % 10 for a, b in zip(first, second, strict=True)]
    np.testing.assert_array_equal(batch["label"], sums)
    np.testing.assert_array_equal(batch["source_label"][:, 1], [label_of[b] for b in second])
    place = {image: at for at, image in enumerate(digits.ids)}
    right = halves(digits)[1][[place[b] for b in second]]
    np.testing.assert_array_equal(batch["images"][1], right)


def test_partners_are_drawn_from_all_other_images():
    five = LabeledImages(np.zeros((5, 2, 2, 1), np.uint8), np.arange(5), np.arange(5), 255)
    data = MultiSource(five, MultiSourceConfig(sum_labels=True))
    partners = np.stack([data.arrays(epoch)["source_id"][:, 1] for epoch in range(200)])
    for own in range(5):
        counts = np.bincount(partners[:, own], minlength=5)
        assert counts[own] == 0
        assert np.all(np.delete(counts, own) > 25)  # 50 expected, standard deviation 6.1


def test_pairs_are_drawn_anew_in_every_epoch(digits):
    data = MultiSource(digits, MultiSourceConfig(sum_labels=True))
    first, second = data.arrays(0), data.arrays(1)
    np.testing.assert_array_equal(first["id"], second["id"])
    assert np.mean(first["source_id"][:, 1] == second["source_id"][:, 1]) < 0.05
    assert_same(first, data.arrays(0))


def test_label_noise_leaves_the_sum_where_it_was(digits):
    noisy = SourceConfig(label_noise=1.0)
    clean = make(digits, sum_labels=True)
    batch = make(digits, sum_labels=True, source1=noisy, source2=noisy)
    assert batch["label_noise"].all()
    np.testing.assert_array_equal(batch["label"], clean["label"])
    assert np.all(batch["source_id"] != clean["source_id"])


def test_epochs_are_the_same_without_sums(digits):
    data = MultiSource(digits, MultiSourceConfig(source1=SourceConfig(0.5, 0.5, True)))
    assert_same(data.arrays(0), data.arrays(3))


# --- The same seed, the same set ------------------------------------------------------------------

EVERYTHING = MultiSourceConfig(
    view="full",
    sum_labels=True,
    source1=SourceConfig(data_noise=0.3, label_noise=0.4, shuffle=True),
    source2=SourceConfig(data_noise=0.2, label_noise=0.5, invert=True),
    seed=7,
)


EVERYTHING_DIGEST = "debdf8f783f8ad4bf3a9ab9048c6dfd845b40953f05cf509fc1d485c4f8bb859"


def digest(batch):
    parts = [np.ascontiguousarray(leaf).astype("<f8").tobytes() for leaf in jax.tree.leaves(batch)]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def test_the_set_of_a_seed_is_written_down_here(digits):
    """Fails if anything ever changes what a seed means, on this machine or on another."""
    assert digest(MultiSource(digits, EVERYTHING).arrays(2)) == EVERYTHING_DIGEST


def test_order_of_access_does_not_matter(digits):
    forwards = [MultiSource(digits, EVERYTHING)[i] for i in range(len(digits))]
    data = MultiSource(digits, EVERYTHING)
    for i in reversed(range(len(digits))):
        assert_same(data[i], forwards[i])


def test_another_seed_gives_another_set(digits):
    one, other = (
        make(digits, source1=SourceConfig(data_noise=0.5, shuffle=True), seed=seed)
        for seed in (1, 2)
    )
    assert np.any(one["data_noise"] != other["data_noise"])
    assert np.all(np.any(one["images"][0] != other["images"][0], axis=(1, 2, 3)).mean() > 0.9)


# --- Batches --------------------------------------------------------------------------------------


def concatenated(batches):
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *batches)


def test_batches_hold_every_sample_once_in_order(digits):
    data = MultiSource(digits, EVERYTHING)
    batches = data.batches(100)
    assert [len(batch["id"]) for batch in batches] == [100, 100, 100, 60]
    assert_same(concatenated(batches), data.arrays())
    assert [len(batch["id"]) for batch in data.batches(100, drop_remainder=True)] == [100] * 3


def test_shuffled_epochs_are_complete_and_differ(digits):
    data = MultiSource(digits, MultiSourceConfig(sum_labels=True, seed=3))
    batches = list(data.batches(100, epochs=2, shuffle=True))
    epochs = [concatenated(batches[:4]), concatenated(batches[4:])]
    for number, epoch in enumerate(epochs):
        order = np.argsort(epoch["id"])
        assert_same(jax.tree.map(lambda leaf, order=order: leaf[order], epoch), data.arrays(number))
    assert np.mean(epochs[0]["id"] == epochs[1]["id"]) < 0.05
    again = list(MultiSource(digits, data.config).batches(100, epochs=2, shuffle=True))
    assert_same(batches, again)


def test_an_iterator_goes_on_from_its_state(digits):
    batches = MultiSource(digits, EVERYTHING).batches(50, epochs=2, shuffle=True)
    iterator = iter(batches.to_iter_dataset())
    for _ in range(9):
        next(iterator)
    state = json.loads(json.dumps(iterator.get_state()))
    rest = list(iterator)
    resumed = iter(batches.to_iter_dataset())
    resumed.set_state(state)
    assert len(rest) == 2 * 8 - 9
    assert_same(list(resumed), rest)


def test_it_is_a_grain_source(digits):
    data = MultiSource(digits)
    assert isinstance(data, grain.sources.RandomAccessDataSource)
    shard = grain.MapDataset.source(data)[1::3]
    assert len(shard) == 120
    assert_same(shard[0], data[1])


# --- Bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize("fraction", [-0.1, 1.5, float("nan")])
@pytest.mark.parametrize("name", ["data_noise", "label_noise"])
def test_fractions_outside_0_and_1_are_refused(name, fraction):
    with pytest.raises(ValueError, match=rf"{name} .* must lie in \[0, 1\], got {fraction}"):
        SourceConfig(**{name: fraction})


def test_bad_settings_are_refused(digits):
    with pytest.raises(ValueError, match="view must be 'halves' or 'full', got 'quarters'"):
        MultiSourceConfig(view="quarters")
    with pytest.raises(ValueError, match="seed must not be negative, got -1"):
        MultiSourceConfig(seed=-1)
    with pytest.raises(ValueError, match="'train' or 'test', got 'valid'"):
        load_digits("valid")
    with pytest.raises(ValueError, match="batch_size and epochs must be at least 1"):
        MultiSource(digits).batches(0)
    with pytest.raises(IndexError, match="not be negative"):
        MultiSource(digits)[-1]


def images(count=2, width=4, **changes):
    fields = {
        "images": np.zeros((count, 4, width, 1), np.uint8),
        "labels": np.zeros(count, np.int32),
        "ids": np.arange(count),
        "maximum": 255,
    }
    return LabeledImages(**(fields | changes))


def test_images_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="5 pixels wide have no two equal halves"):
        MultiSource(images(width=5))
    with pytest.raises(ValueError, match="at least two images"):
        MultiSource(images(count=1), MultiSourceConfig(sum_labels=True))
    with pytest.raises(ValueError, match="empty"):
        images(count=0)
    with pytest.raises(ValueError, match=r"uint8 of shape \[N, H, W, 1\], got float64"):
        images(images=np.zeros((2, 4, 4, 1)))
    with pytest.raises(ValueError, match=r"2 images need labels and ids of shape \(2,\)"):
        images(labels=np.zeros(3, np.int32))
    with pytest.raises(ValueError, match="unique"):
        images(ids=np.array([1, 1]))
    with pytest.raises(ValueError, match="largest level is 20"):
        images(images=np.full((2, 4, 4, 1), 20, np.uint8), maximum=16)
