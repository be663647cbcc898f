"""`deploy.package`: what goes into a zip, the same bytes each time, one line when it fails."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest

from deploy import package
from deploy.closure import own_modules
from deploy.package import PackagingError, prune, write_zip


def _write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


HOUSE = {
    "functions/__init__.py": "",
    "functions/aws/__init__.py": "",
    "functions/aws/entry_points.py": "import json\nfrom functions import late\n"
    "from protocol.book import Book\n"
    "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import functions.typing_only\n",
    "functions/late.py": "def run():\n    from functions.inner import thing\n",
    "functions/inner.py": "thing = 1\n",
    "functions/typing_only.py": "",
    "functions/worker.py": "import functions.aws.entry_points\n",
    "protocol/__init__.py": "",
    "protocol/book.py": "class Book: ...\n",
}


def test_what_is_reached_goes_in_and_nothing_else(tmp_path: Path) -> None:
    found = own_modules(_write(tmp_path, HOUSE), "functions.aws.entry_points")
    assert [str(each) for each in found] == [
        "functions/__init__.py",
        "functions/aws/__init__.py",
        "functions/aws/entry_points.py",
        "functions/inner.py",
        "functions/late.py",
        "protocol/__init__.py",
        "protocol/book.py",
    ]


def test_what_another_function_imports_stays_out_with_all_it_reaches(tmp_path: Path) -> None:
    found = own_modules(_write(tmp_path, HOUSE), "functions.aws.entry_points", ["functions.late"])
    assert {each.stem for each in found} == {"__init__", "entry_points", "book"}


def test_the_same_files_are_the_same_bytes(tmp_path: Path) -> None:
    zips = []
    for run in ("one", "two"):
        tree = _write(tmp_path / run, dict(sorted(HOUSE.items(), reverse=run == "two")))
        (tree / "functions/aws/entry_points.py").chmod(0o600 if run == "two" else 0o755)
        write_zip(tmp_path / f"{run}.zip", [tree])
        zips.append((tmp_path / f"{run}.zip").read_bytes())
    assert zips[0] == zips[1]


def test_one_name_in_two_packages_is_an_error(tmp_path: Path) -> None:
    trees = [_write(tmp_path / name, {"same.py": name}) for name in ("a", "b")]
    with pytest.raises(PackagingError, match=r"same\.py is in two packages"):
        write_zip(tmp_path / "x.zip", trees)


def test_what_no_import_opens_is_taken_away(tmp_path: Path) -> None:
    site = _write(
        tmp_path,
        {
            "bin/tool": "",
            "lib/__init__.py": "",
            "lib/tests/test_it.py": "",
            "lib/speed.pyx": "",
            "lib-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: lib\nVersion: 1\n\nText\n",
            "lib-1.dist-info/RECORD": "",
            "botocore/data/endpoints.json": "",
            "botocore/data/dynamodb/2012-08-10/service-2.json.gz": "",
            "botocore/data/ec2/2016-11-15/service-2.json.gz": "",
        },
    )
    prune(site)
    left = sorted(str(each.relative_to(site)) for each in site.rglob("*") if each.is_file())
    assert left == [
        "botocore/data/dynamodb/2012-08-10/service-2.json.gz",
        "botocore/data/endpoints.json",
        "lib-1.dist-info/METADATA",
        "lib/__init__.py",
    ]
    assert (site / "lib-1.dist-info/METADATA").read_text().endswith("Name: lib\nVersion: 1\n")


def test_a_zip_that_grew_is_refused_with_what_is_large_in_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = _write(tmp_path / "site", {"library/__init__.py": "x = 1\n"})
    monkeypatch.setattr(package, "installed", lambda *_: site)
    monkeypatch.setattr(package, "_compiler", lambda _: None)
    monkeypatch.setattr(package, "ZIP_MAX_BYTES", 100)
    with pytest.raises(PackagingError, match=r"reconcile\.zip has .* MB.*functions"):
        package.build("cloud", tmp_path / "build")
    monkeypatch.setattr(package, "BUILD", tmp_path / "build")
    monkeypatch.setattr(package, "build", _failing)
    assert package.main(["cloud"]) == 1
    assert capsys.readouterr().err == "cannot package: no such wheel\n"


def _failing(_: str) -> list[Path]:
    raise PackagingError("no such wheel")


def test_a_command_that_fails_is_told_by_its_last_line() -> None:
    said = "import sys; sys.exit('first\\nlast')"
    with pytest.raises(PackagingError, match=r"^it failed: last$"):
        package._run([sys.executable, "-c", said], "it failed", 30)


def test_everything_in_a_zip_is_readable_by_lambda(tmp_path: Path) -> None:
    write_zip(tmp_path / "x.zip", [_write(tmp_path / "tree", {"a.py": ""})])
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        assert [each.external_attr >> 16 & 0o777 for each in archive.infolist()] == [0o644]
