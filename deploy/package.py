"""Builds the zips of the cloud's functions: what each imports, and nothing else.

    python -m deploy.package cloud     for Lambda: python3.12 on arm64, whatever this machine is
    python -m deploy.package local     for this machine and this Python: the local deployment

1. Third-party code comes from a hash-pinned file, as wheels, one resolution for both kinds.
2. Of our own code a zip holds the modules that its handler can reach by import, found by reading
   them, so an import inside a function counts, too.
3. The same input gives the same bytes: sorted names, one fixed time, fixed permissions. So an
   unchanged function is not deployed again.
4. Bytecode goes in where an interpreter of the right version is at hand: a function's folder is
   read-only, so every cold start would compile all of it again (measured 2026-11: 2.3 s of CPU
   without, 0.9 s with). Of libraries that every function imports it goes in instead of the source,
   which is no larger by much; our own source stays, for the lines in tracebacks.
5. It stops with one line when a wheel is missing or a zip grows beyond ZIP_MAX_BYTES.

The plugin serverless-python-requirements would do the first of these, but anew for every function
and stage (three times three pip runs), without leaving out the 390 services of botocore that nobody
here calls, and with one more tree of npm packages.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from deploy.closure import own_modules

Kind = Literal["cloud", "local"]

ROOT: Final = Path(__file__).resolve().parent.parent
BUILD: Final = ROOT / ".build" / "functions"
ZIP_MAX_BYTES: Final = 16_000_000
"""A larger zip means that something crept in (`settle` with bytecode: 15.1 MB); Lambda itself takes
50 MB."""
PIP_TIMEOUT_S: Final = 300
COMPILE_TIMEOUT_S: Final = 120
ZIP_TIME: Final = (1980, 1, 1, 0, 0, 0)
"""The earliest that a zip can say."""

# Amazon Linux 2023, on which Lambda runs Python 3.12, has glibc 2.34.
_CLOUD: Final = (
    *("--platform", "manylinux2014_aarch64", "--platform", "manylinux_2_28_aarch64"),
    *("--python-version", "3.12", "--implementation", "cp"),
)

_BOTOCORE_FILES: Final = frozenset(
    {"_retry.json", "endpoints.json", "partitions.json", "sdk-default-configuration.json"}
)
_BOTOCORE_SERVICES: Final = frozenset({"dynamodb", "secretsmanager"})
# Keccak, AES and key derivation are used, not keys and signatures of pycryptodome's own; no account
# is made of words, and no transaction carries blobs.
_UNUSED_PARTS: Final = (
    *("Crypto/IO", "Crypto/Math", "Crypto/PublicKey", "Crypto/Signature"),
    *("aiohttp/pytest_plugin.py", "bitarray/test_bitarray.py", "eth_account/hdaccount/wordlist"),
    "eth_account/typed_transactions/blob_transactions/kzg_trusted_setup.txt",
)
_UNUSED_TREES: Final = frozenset({"tests", "test", "SelfTest", "__pycache__"})
_UNUSED_AT_TOP: Final = frozenset({"bin", "docs", "tests", "share", "include"})
_UNUSED_SUFFIXES: Final = frozenset(
    {".pyi", ".pyx", ".pxd", ".pxi", ".c", ".h", ".md", ".rst", ".typed", ".pyc"}
)


class PackagingError(Exception):
    """A zip cannot be built; the text says why and is meant for whoever runs this."""


@dataclass(frozen=True)
class FunctionZip:
    """One zip: `entry` is the module with its handler, `requirements` what that may import."""

    name: str
    requirements: str
    without: tuple[str, ...] = ()
    """Modules that only another function of the same `entry` imports."""
    entry: str = "functions.aws.entry_points"


EVERY_START: Final = "lambda.txt"
"""What is imported at every cold start: as bytecode. With all of settle's it would be too large."""

_ALSO: Final = frozenset({"certifi", "httpx"})
"""Which aiobotocore imports where they are there, as they are in settle's zip."""
# They import the official client, with which winnings are redeemed: half of settle's zip.
_OF_SETTLE: Final = (
    "functions.adapters.redeemer",
    "venue.trading.official_client",
    "venue.trading.login",
)
# Only a process waits for what is not reachable yet: `functions.bootstrap` imports this for it.
_OF_PROCESSES: Final = ("runtime.retry",)
FUNCTIONS: Final = (
    FunctionZip("reconcile", EVERY_START, (*_OF_SETTLE, *_OF_PROCESSES)),
    FunctionZip("control", EVERY_START, (*_OF_SETTLE, *_OF_PROCESSES)),
    # What it has beyond the others it imports only when there is something to redeem.
    FunctionZip("settle", "lambda-settle.txt", _OF_PROCESSES),
)


def build(kind: Kind, build_dir: Path = BUILD) -> list[Path]:
    """Write `<build_dir>/<kind>/<name>.zip` of each function. Raises PackagingError."""
    compiler = _compiler(kind)
    zips = []
    for function in FUNCTIONS:
        site = installed(function.requirements, kind, compiler, build_dir)
        own = gathered(function, kind, compiler, build_dir)
        target = build_dir / kind / f"{function.name}.zip"
        write_zip(target, [site, own])
        size = target.stat().st_size
        if size > ZIP_MAX_BYTES:
            raise PackagingError(
                f"{target.name} has {size / 1e6:.1f} MB, more than {ZIP_MAX_BYTES / 1e6:.0f};"
                f" the largest in it: {_largest(target)}"
            )
        zips.append(target)
    return zips


def installed(requirements: str, kind: Kind, compiler: str | None, build_dir: Path) -> Path:
    """A folder with the wheels of `requirements`, pruned; the last one where nothing changed."""
    source = ROOT / "requirements" / requirements
    site = build_dir / "site" / kind / source.stem
    done = site.with_name(f"{site.name}.done")
    parts = (source.read_text(), Path(__file__).read_text(), str(compiler), sys.version)
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    if done.exists() and done.read_text() == key:
        return site
    done.unlink(missing_ok=True)
    shutil.rmtree(site, ignore_errors=True)
    command = [
        *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
        *("--require-hashes", "--no-deps", "--no-compile", "--only-binary=:all:"),
        *(_CLOUD if kind == "cloud" else ()),
        *("--target", str(site), "-r", str(source)),
    ]
    _run(command, f"requirements/{requirements} cannot be installed for {kind}", PIP_TIMEOUT_S)
    prune(site)
    compiled = {path.name for path in site.iterdir()}
    if requirements != EVERY_START:
        started = installed(EVERY_START, kind, compiler, build_dir)
        compiled &= _ALSO | {
            f"{each.stem}{each.suffix.replace('.pyc', '.py')}" for each in started.iterdir()
        }
    _compile(site, compiler, [site / name for name in sorted(compiled)], keep_source=False)
    done.write_text(key)
    return site


def gathered(function: FunctionZip, kind: Kind, compiler: str | None, build_dir: Path) -> Path:
    """A folder with our own modules of `function`."""
    own = build_dir / "own" / kind / function.name
    shutil.rmtree(own, ignore_errors=True)
    try:
        modules = own_modules(ROOT, function.entry, function.without)
    except FileNotFoundError as error:
        raise PackagingError(f"{function.name}: {error}") from error
    for module in modules:
        (own / module).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / module, own / module)
    _compile(own, compiler, [own], keep_source=True)
    return own


def prune(site: Path) -> None:
    """Take away what no import opens: scripts, tests, sources of extensions, unused services."""
    for path in sorted(site.iterdir()):
        if path.name in _UNUSED_AT_TOP:
            shutil.rmtree(path)
        elif path.suffix == ".dist-info":
            _keep_name_and_version(path)
    for path in sorted((site / "botocore" / "data").iterdir()):
        if path.is_dir() and path.name not in _BOTOCORE_SERVICES:
            shutil.rmtree(path)
        elif path.is_file() and path.name not in _BOTOCORE_FILES:
            path.unlink()
    for part in _UNUSED_PARTS:
        if (site / part).is_dir():
            shutil.rmtree(site / part)
        else:
            (site / part).unlink(missing_ok=True)
    for path in sorted(site.rglob("*"), reverse=True):
        if path.is_dir() and path.name in _UNUSED_TREES:
            shutil.rmtree(path)
        elif path.suffix in _UNUSED_SUFFIXES and path.is_file():
            path.unlink()


def _keep_name_and_version(dist_info: Path) -> None:
    """Several libraries ask importlib.metadata for their own version; nobody asks for more."""
    metadata = dist_info / "METADATA"
    head = [
        line
        for line in metadata.read_text().partition("\n\n")[0].splitlines()
        if line.startswith(("Metadata-Version:", "Name:", "Version:"))
    ]
    shutil.rmtree(dist_info)
    dist_info.mkdir()
    metadata.write_text("\n".join(head) + "\n")


def write_zip(target: Path, trees: list[Path]) -> None:
    """All files of `trees`, the same bytes each time; a name in two of them is an error."""
    files: dict[str, Path] = {}
    for tree in trees:
        for path in tree.rglob("*"):
            name = path.relative_to(tree).as_posix()
            if path.is_dir():
                continue
            if name in files:
                raise PackagingError(f"{target.name}: {name} is in two packages")
            files[name] = path
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, path in sorted(files.items()):
            info = zipfile.ZipInfo(name, ZIP_TIME)
            info.external_attr = 0o100644 << 16  # Lambda runs as a user who only reads
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, path.read_bytes())
    partial.replace(target)


def _compiler(kind: Kind) -> str | None:
    """An interpreter whose bytecode the function's Python takes; None: there is none here."""
    if kind == "local" or sys.version_info[:2] == (3, 12):
        return sys.executable
    found = shutil.which("python3.12")
    if found is None:
        return None
    try:  # a version manager's stand-in is found, too, and may have nothing behind it
        _run([found, "-c", ""], "python3.12 does not run", COMPILE_TIMEOUT_S)
    except PackagingError:
        return None
    return found


def _compile(tree: Path, compiler: str | None, parts: list[Path], *, keep_source: bool) -> None:
    """Of these parts of `tree`: bytecode beside each source, or instead of it.

    With the path in tracebacks that it has in Lambda, and never compared with its source: both come
    from here.
    """
    if compiler is None:
        return
    command = [
        *(compiler, "-I", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"),
        *("-s", str(tree), "-p", "/var/task", *([] if keep_source else ["-b"]), *map(str, parts)),
    ]
    _run(command, f"{tree.name} cannot be compiled", COMPILE_TIMEOUT_S)
    if not keep_source:
        for part in parts:
            for source in part.rglob("*.py") if part.is_dir() else [part]:
                if source.suffix == ".py":
                    source.unlink()


def _run(command: list[str], what_failed: str, timeout_s: float) -> None:
    """Run to its end. Raises PackagingError with the last line that it wrote."""
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command, no shell
            command, capture_output=True, text=True, timeout=timeout_s, check=False, cwd=ROOT
        )
    except subprocess.TimeoutExpired:
        raise PackagingError(f"{what_failed}: no end after {timeout_s:.0f} s") from None
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines() or [f"exit {done.returncode}"]
        raise PackagingError(f"{what_failed}: {said[-1]}")


def _largest(target: Path) -> str:
    """The three top-level names with the most compressed bytes."""
    sizes: dict[str, int] = {}
    with zipfile.ZipFile(target) as archive:
        for info in archive.infolist():
            top = info.filename.partition("/")[0]
            sizes[top] = sizes.get(top, 0) + info.compress_size
    largest = sorted(sizes.items(), key=lambda each: -each[1])[:3]
    return ", ".join(f"{name} {size / 1e6:.1f} MB" for name, size in largest)


def main(arguments: list[str] | None = None) -> int:
    """Entry point of `python -m deploy.package`: 0 built, 1 it could not be."""
    parser = argparse.ArgumentParser(prog="python -m deploy.package", description=__doc__)
    parser.add_argument("kinds", nargs="+", choices=("cloud", "local"))
    kinds: list[Kind] = parser.parse_args(arguments).kinds
    for kind in kinds:
        started_s = time.monotonic()
        try:
            zips = build(kind)
        except PackagingError as error:
            sys.stderr.write(f"cannot package: {error}\n")
            return 1
        sizes = ", ".join(f"{path.stem} {path.stat().st_size / 1e6:.1f} MB" for path in zips)
        took_s = time.monotonic() - started_s
        without = "" if _compiler(kind) else ", without bytecode (no python3.12 here)"
        sys.stdout.write(f"{kind}: {sizes} in {took_s:.0f} s{without}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
