"""Debian packages for a folder of ours, through apt, without touching the system's apt."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SYSTEM_SOURCES = Path("/etc/apt/sources.list.d")
DEBIAN_KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


class PreparationError(Exception):
    """Something that the tests need could not be prepared, in one line."""


class PrivateApt:
    """apt with package lists, sources and downloads of its own, below `folder`.

    Its sources are the system's, whatever form they have, and those that `add_suite` adds. What
    is installed is taken from the system, so that only what it lacks is downloaded. Needs no root.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sources = folder / "sources"
        self._ready = False

    def add_suite(self, suite: str, *, beside: str) -> None:
        """Add a suite from the mirror that serves the suite `beside`."""
        self._update_once()
        wanted = "$(CODENAME) $(REPO_URI)"
        targets = self._run("apt-get", "indextargets", "--format", wanted, "Created-By: Packages")
        mirrors = [line.split()[1] for line in targets.splitlines() if line.split()[0] == beside]
        if not mirrors:
            raise PreparationError(
                f"apt has no source for {beside}, beside which {suite} is served"
            )
        options = f"[signed-by={DEBIAN_KEYS}] " if DEBIAN_KEYS.exists() else ""
        line = f"deb {options}{mirrors[0]} {suite} main\n"
        (self._sources / f"{suite}.list").write_text(line, encoding="utf-8")
        self._run("apt-get", "update")

    def dependencies(self, package: str) -> list[str]:
        """Return the names of the packages that `package` depends on."""
        self._update_once()
        lines = self._run("apt-cache", "depends", "--important", package).splitlines()
        return [line.split()[1] for line in lines if line.strip().startswith("Depends:")]

    @contextmanager
    def downloaded(self, *packages: str, release: str | None = None) -> Iterator[list[Path]]:
        """Give the package files, and those of everything they need that is not installed.

        Args:
            release: Suite whose versions are preferred.
        """
        self._update_once()
        prefer = ["--target-release", release] if release else []
        install = ["install", "--yes", "--download-only", "--no-install-recommends", *prefer]
        with tempfile.TemporaryDirectory(dir=self._folder) as archives:
            (Path(archives) / "partial").mkdir()
            self._run("apt-get", "-o", f"Dir::Cache::archives={archives}", *install, *packages)
            yield sorted(Path(archives).glob("*.deb"))

    @contextmanager
    def downloaded_alone(self, *packages: str) -> Iterator[list[Path]]:
        """Give the package files without what they depend on."""
        self._update_once()
        with tempfile.TemporaryDirectory(dir=self._folder) as archives:
            self._run("apt-get", "download", *packages, folder=Path(archives))
            yield sorted(Path(archives).glob("*.deb"))

    def _update_once(self) -> None:
        if self._ready:
            return
        shutil.rmtree(self._folder, ignore_errors=True)
        for name in ("lists/partial", "cache/archives/partial", "sources"):
            (self._folder / name).mkdir(parents=True)
        for source in SYSTEM_SOURCES.glob("*"):
            (self._sources / source.name).symlink_to(source)
        self._run("apt-get", "update")
        self._ready = True

    def _run(self, program: str, *arguments: str, folder: Path | None = None) -> str:
        options = {
            "Dir::State::lists": str(self._folder / "lists"),
            "Dir::Cache": str(self._folder / "cache"),
            "Dir::Etc::sourceparts": str(self._sources),
            "APT::Sandbox::User": "root",  # apt's own user may not enter a home folder
            "Debug::NoLocking": "true",  # nothing is installed: there is nothing to lock
        }
        settings = [word for item in options.items() for word in ("-o", "=".join(item))]
        return run([program, "--quiet=2", *settings, *arguments], folder=folder)


def unpack(packages: list[Path], folder: Path) -> None:
    """Unpack package files into `folder`."""
    for package in packages:
        run(["dpkg-deb", "--extract", str(package), str(folder)])


@contextmanager
def built_folder(folder: Path) -> Iterator[Path]:
    """Give a new folder that takes the place of `folder` when the block ends well."""
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
        product = Path(temporary) / folder.name
        product.mkdir()
        yield product
        shutil.rmtree(folder, ignore_errors=True)
        product.rename(folder)


def run(command: list[str], *, folder: Path | None = None) -> str:
    """Run a program to its end and return what it printed.

    Raises:
        PreparationError: it failed; the message is the last line of its errors.
    """
    if shutil.which(command[0]) is None:
        raise PreparationError(f"there is no {command[0]} here")
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        last_line = (done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1]
        raise PreparationError(f"{command[0]}: {last_line}")
    return done.stdout
