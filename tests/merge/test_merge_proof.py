"""One file a feature: what is written side by side merges without a conflict."""

from pathlib import Path

import pytest

from tests.merge.proof import Proof

COUNT = 10


@pytest.mark.timeout(180)
def test_features_that_are_written_side_by_side_merge_and_work(tmp_path: Path) -> None:
    """Each with a migration, a test and a lock, at the same second: no conflict, no shared file,
    and the result has no findings, is as agreed on, boots and passes."""
    proof = Proof(tmp_path / "proof", COUNT)
    proof.begin()
    proof.write()
    for branch, files in proof.changed.items():
        kinds = {Path(file).suffix for file in files}
        assert (len(files), kinds) == (4, {".py", ".sql", ".json"}), branch
    proof.merge()
    assert proof.shared() == set()
    assert proof.wrong() == []
    tested = proof.tested()
    assert tested.returncode == 0, tested.stdout
    assert f"{COUNT + 2} passed" in tested.stdout
