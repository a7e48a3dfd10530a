"""Several processes on one result wait for one another."""

import threading

import jax

from rfp_jax._runs import processes


def test_who_is_ready_first_waits_for_files_before_it_joins_a_collective(tmp_path, monkeypatch):
    """Collectives give up after half an hour; one process may take hours longer than another."""
    log = []
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(processes, "_failed_anywhere", lambda failed: log.append("joined") or [])

    def arrive():
        log.append("the other one is ready")
        (tmp_path / "1").touch()

    later = threading.Timer(0.5, arrive)
    with processes.long_phase(tmp_path):
        later.start()
        log.append("ready")
    assert log == ["ready", "the other one is ready", "joined"]
