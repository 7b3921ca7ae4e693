"""What a killed driver leaves of Ray is cleared away; what a living one uses is not."""

from __future__ import annotations

import tempfile

from orchestrator.scheduling import ray


def test_only_folders_of_drivers_that_are_gone_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(ray, "_LONGEST_TEMPORARY", 1000)
    gone, alive, other = (tmp_path / name for name in ("orc-gone", "orc-alive", "else"))
    for folder in (gone, alive, other):
        (folder / "session").mkdir(parents=True)
    in_use = ray._held(alive)
    assert in_use is not None
    ray.clear_left_over(tmp_path)
    assert [gone.exists(), alive.exists(), other.exists()] == [False, True, True]
    in_use.close()
    ray.clear_left_over(tmp_path)
    assert not alive.exists()
