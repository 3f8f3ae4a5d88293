import os
import subprocess
import sys
from pathlib import Path

import pytest

from node.errors import HomeError, HomeLockedError
from node.home import Home, create_new, create_whole, write_new, write_whole


def test_second_process_on_the_same_home_is_refused(tmp_path: Path) -> None:
    script = "import sys\nfrom pathlib import Path\nfrom node.home import Home\nHome(Path(sys.argv[1])).__enter__()"
    with Home(tmp_path):
        ended = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False
        )
    assert "HomeLockedError" in ended.stderr
    with Home(tmp_path):
        pass


def test_same_process_can_not_open_a_home_twice(tmp_path: Path) -> None:
    with Home(tmp_path), pytest.raises(HomeLockedError, match="another process uses the home"), Home(tmp_path):
        pass


def test_failed_write_leaves_the_older_file_and_no_draft(tmp_path: Path) -> None:
    target = tmp_path / "keystore.json"
    write_whole(target, b"old")
    with pytest.raises(RuntimeError), create_whole(target) as sink:  # noqa: PT012 - the write belongs to the failure
        sink.write(b"half")
        raise RuntimeError
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["keystore.json"]


def test_full_disk_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(HomeError, match="nothing was left behind"), create_whole(tmp_path / "capsule") as sink:  # noqa: PT012
        sink.write(b"x")
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_written_files_are_for_their_owner_only(tmp_path: Path) -> None:
    write_whole(tmp_path / "keystore.json", b"secret")
    assert (tmp_path / "keystore.json").stat().st_mode & 0o777 == 0o600


def test_a_new_file_never_takes_the_place_of_one_that_came_meanwhile(tmp_path: Path) -> None:
    target = tmp_path / "key"
    with pytest.raises(HomeError, match="exists already"), create_new(target) as sink:  # noqa: PT012
        sink.write(b"late")
        target.write_bytes(b"first")
    assert target.read_bytes() == b"first"
    write_new(tmp_path / "other", b"new")
    assert (tmp_path / "other").read_bytes() == b"new"
    assert sorted(os.listdir(tmp_path)) == ["key", "other"]


def test_drafts_of_the_dead_are_cleared_and_those_of_the_living_stay(tmp_path: Path) -> None:
    left, elsewhere = tmp_path / ".day.abcd_123.part", tmp_path / ".day.csv.abcd_123.part"
    left.write_bytes(b"half")
    elsewhere.write_bytes(b"half")
    with create_new(tmp_path / "day") as first:
        first.write(b"one")
        held = [path for path in tmp_path.iterdir() if path != elsewhere]
        assert left not in held
        with pytest.raises(HomeError, match="exists already"), create_new(tmp_path / "day"):  # noqa: PT012
            assert set(held) < set(tmp_path.iterdir())
            (tmp_path / "day").write_bytes(b"two")
        (tmp_path / "day").unlink()
    assert (tmp_path / "day").read_bytes() == b"one"
    assert sorted(os.listdir(tmp_path)) == [elsewhere.name, "day"]
