"""The time of the imports: each is counted once, and the package comes after JAX."""

import numpy as np

from benchmarks import start as command


def test_both_imports_are_timed(monkeypatch, capsys):
    taken = command.imports(rounds=1)
    assert taken.shape == (1, 2)
    assert (taken > 0).all()
    monkeypatch.setattr(command, "imports", lambda rounds: np.array([[1.0, 0.1], [3.0, 0.3]]))
    command.main()
    rows = [line.split("|")[1:4] for line in capsys.readouterr().out.splitlines()[3:]]
    cells = [[cell.strip() for cell in row] for row in rows if len(row) == 3]
    assert cells == [
        ["import jax", "2.000", "1.500 to 2.500"],
        ["import rfp_jax, after it", "0.200", "0.150 to 0.250"],
    ]
