"""Output files appear whole or not at all, and what is no regular file stays what it is."""

import os
import stat
from pathlib import Path

import pytest
from celosia import ToolError
from celosia.host.files import OutputFiles, write_whole


def test_files_appear_with_commit_alone(tmp_path):
    a, b = tmp_path / "a.npy", tmp_path / "b.json"
    with OutputFiles() as files:
        files.claim(a)
        files.claim(b)
        files.write(a, b"one")
        files.write(b, b"two")
        assert not a.exists()
        files.commit()
    assert (a.read_bytes(), b.read_bytes()) == (b"one", b"two")
    assert sorted(tmp_path.iterdir()) == [a, b]


def test_nothing_is_left_without_commit(tmp_path):
    path = tmp_path / "y.npy"
    path.write_bytes(b"old")
    with OutputFiles() as files:
        files.claim(path)
        files.write(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_claimed_path_keeps_its_ending_and_may_be_written_by_others(tmp_path):
    with OutputFiles() as files:
        place = files.claim(tmp_path / "waves.vcd")
        assert place.suffix == ".vcd"
        place.write_text("$end")
        files.commit()
    assert (tmp_path / "waves.vcd").read_text() == "$end"


def test_mode_is_that_of_any_new_file(tmp_path):
    mask = os.umask(0o027)
    try:
        write_whole(tmp_path / "y", b"")
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "y").stat().st_mode) == 0o640


def test_a_link_stays(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there" / "y")
    write_whole(tmp_path / "link", b"data")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there" / "y").read_bytes() == b"data"


def test_a_device_is_written_in_place():
    write_whole("/dev/null", b"data")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_full_disk():
    with pytest.raises(ToolError, match="cannot write /dev/full: No space left on device"):
        write_whole("/dev/full", b"data")


def test_full_disk_at_the_last_moment(tmp_path, monkeypatch):
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ToolError, match=r"cannot write .*y: No space left on device"):
        write_whole(tmp_path / "y", b"data")
    assert list(tmp_path.iterdir()) == []


def test_places_that_cannot_be_written(tmp_path):
    with OutputFiles() as files:
        with pytest.raises(ToolError, match="it is a directory"):
            files.claim(tmp_path)
        with pytest.raises(ToolError, match="there is no directory .*missing, make it first"):
            files.claim(tmp_path / "missing" / "y")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_places(tmp_path):
    (tmp_path / "y").touch(0o400)
    with OutputFiles() as files, pytest.raises(ToolError, match="permission denied"):
        files.claim(tmp_path / "y")
    tmp_path.chmod(0o500)
    with OutputFiles() as files, pytest.raises(ToolError, match="Permission denied"):
        files.claim(tmp_path / "z")


def test_read_only_disk(tmp_path, monkeypatch):
    def read_only(**_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.mkstemp", read_only)
    with OutputFiles() as files, pytest.raises(ToolError, match=r"cannot write .*y: Read-only file system"):
        files.claim(tmp_path / "y")
