"""The file that links are made with."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from executor.console.links import KEY_FILE, LinkKeyError, link_key


def test_it_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: link_key(tmp_path), range(32)))
    assert len(keys) == 1
    assert [each.name for each in tmp_path.iterdir()] == [KEY_FILE]
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600


def test_one_that_others_can_read_is_refused(tmp_path: Path) -> None:
    link_key(tmp_path)
    (tmp_path / KEY_FILE).chmod(0o640)
    with pytest.raises(LinkKeyError, match="others may read it"):
        link_key(tmp_path)


def test_what_is_no_file_of_ours_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("00" * 32)
    (tmp_path / KEY_FILE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LinkKeyError, match="symbolic links"):
        link_key(tmp_path)
    (tmp_path / KEY_FILE).unlink()
    (tmp_path / KEY_FILE).mkdir()
    with pytest.raises(LinkKeyError, match="Is a directory"):
        link_key(tmp_path)


def test_one_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    link_key(tmp_path)
    (tmp_path / KEY_FILE).write_text("ab")
    with pytest.raises(LinkKeyError, match="not what the console has written"):
        link_key(tmp_path)


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(LinkKeyError, match="No such file"):
        link_key(tmp_path / "none")
