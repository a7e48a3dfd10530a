"""The loop of training: the order of its states, from any epoch on, and losses that diverge."""

import pytest

from experiments.training import Epoch, resume


def step(variables, state, x):
    """Move by x; the loss is the place before."""
    return variables + x, state + 1, variables


def batches(number):
    return [(number + 1,), (10 * (number + 1),)]


def test_epochs_by_hand():
    found = list(resume(step, Epoch(0, 0, 0, float("nan")), batches, until=3))
    assert found == [Epoch(1, 11, 2, 0.5), Epoch(2, 33, 4, 12.0), Epoch(3, 66, 6, 34.5)]


def test_later_epochs_are_those_of_a_whole_run():
    *_, first, second = resume(step, Epoch(0, 0, 0, float("nan")), batches, until=3)
    assert list(resume(step, first, batches, until=3)) == [second]
    assert list(resume(step, second, batches, until=3)) == []


def test_a_loss_that_is_not_finite_ends_the_training():
    states = resume(lambda *_: (0, 0, float("inf")), Epoch(1, 0, 0, 0.0), batches, until=3)
    with pytest.raises(ValueError, match="loss of epoch 2 is inf: try a smaller learning rate"):
        next(states)
