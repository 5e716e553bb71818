"""Brings a package's archive through its ecosystem's ordinary client: pip, npm, cargo or apt-get.

Takes a Package and a cache folder; gives the archive and what the lock says of it. The machine's
own mirrors and certificates apply, for the clients are called as a person would call them. What is
inside the archive is fetch.py's concern.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Package:
    """One line of corpus.toml."""

    name: str
    ecosystem: str
    version: str
    licence: str
    language: str
    split: str
    only: tuple[str, ...]
    cap: int  # bytes

    @property
    def folder(self) -> str:
        return self.name.replace("/", "__")


def call(command: list[str], cwd: Path, **environment: str) -> str:
    """Runs a client and gives what it printed; its own words say what went wrong."""
    done = subprocess.run(
        command, cwd=cwd, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:4])} …: {(done.stderr or done.stdout).strip()[-400:]}")
    return done.stdout


def from_pypi(package: Package, cache: Path) -> Path:
    """The wheel: it holds the sources without tests and build files."""
    pin = package.name + (f"=={package.version}" if package.version else "")
    call([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", pin], cache)
    return only_file(cache, "*.whl")


def from_npm(package: Package, cache: Path) -> Path:
    pin = package.name + (f"@{package.version}" if package.version else "")
    call(["npm", "pack", "--silent", pin], cache)
    return only_file(cache, "*.tgz")


def from_crates(package: Package, cache: Path) -> Path:
    """The .crate file that `cargo fetch` brings for a crate that depends on the package alone."""
    (cache / "src").mkdir(exist_ok=True)
    (cache / "src/lib.rs").write_text("")
    version = f"={package.version}" if package.version else "*"
    (cache / "Cargo.toml").write_text(
        '[package]\nname = "corpus"\nversion = "0.0.0"\nedition = "2024"\n\n[workspace]\n\n[dependencies]\n'
        f'{package.name} = {{ version = "{version}", default-features = false }}\n'
    )
    home = (cache.parent / "cargo-home").resolve()  # the client runs elsewhere
    call(["cargo", "fetch", "--quiet"], cache, CARGO_HOME=str(home))
    lock = tomllib.loads((cache / "Cargo.lock").read_text())
    version = max(
        (row["version"] for row in lock["package"] if row["name"] == package.name),
        key=lambda version: [int(part) for part in re.findall(r"\d+", version)[:3]],
    )
    found = next(home.glob(f"registry/cache/*/{package.name}-{version}.crate"))
    return Path(shutil.copy(found, cache))


def from_debian(package: Package, cache: Path) -> Path:
    """The upstream tarball of the source package, through the machine's own apt sources."""
    pin = package.name + (f"={package.version}" if package.version else "")
    call(
        ["apt-get", "source", "--download-only", "--only-source", "-qq", *apt_options(cache.parent), pin],
        cache,
    )
    plain = [path for path in cache.glob("*.tar.*") if not path.name.endswith(".asc")]
    return next((path for path in plain if ".orig.tar." in path.name), None) or next(
        path for path in plain if ".debian.tar." not in path.name
    )


CLIENTS = {"pypi": from_pypi, "npm": from_npm, "crates": from_crates, "debian": from_debian}


def only_file(folder: Path, pattern: str) -> Path:
    (path,) = folder.glob(pattern)
    return path


def apt_options(cache: Path) -> list[str]:
    sources, lists = cache / "apt/sources", cache / "apt/lists"
    return [
        "-o", "Dir::Etc::SourceList=/dev/null",
        "-o", f"Dir::Etc::SourceParts={sources.resolve()}",
        "-o", f"Dir::State::Lists={lists.resolve()}",
    ]  # fmt: skip


def prepare_apt(cache: Path) -> None:
    """Lets apt see the source packages of the distribution's own archive, for this cache alone."""
    sources = cache / "apt/sources"
    if sources.exists():
        return
    sources.mkdir(parents=True)
    (cache / "apt/lists/partial").mkdir(parents=True)
    for path in (Path("/etc/apt/sources.list"), Path("/etc/apt/sources.list.d/debian.sources")):
        if path.exists():
            text = re.sub(r"^Types:.*$", "Types: deb-src", path.read_text(), flags=re.MULTILINE)
            text = re.sub(r"^deb ", "deb-src ", text, flags=re.MULTILINE)
            name = path.name if path.suffix == ".sources" else "sources.list"
            (sources / name).write_text(text)
    call(["apt-get", "update", "-qq", *apt_options(cache)], cache)


def version_of(package: Package, archive: Path) -> str:
    """The version that came, as the manifest would pin it."""
    name = archive.name
    if package.ecosystem == "pypi":
        return name.split("-")[1]
    if package.ecosystem == "debian":
        description = next(archive.parent.glob("*.dsc")).read_text()
        return re.search(r"^Version: (.+)$", description, re.MULTILINE).group(1)
    stem = name.removesuffix(".crate").removesuffix(".tgz")
    return stem[len(package.name.replace("@", "").replace("/", "-")) + 1 :]


def download(package: Package, cache: Path, pinned: dict | None) -> tuple[Path, dict]:
    """The package's archive and its lock entry; from the cache if it is there."""
    folder = cache / f"{package.ecosystem}-{package.folder}"
    folder.mkdir(parents=True, exist_ok=True)
    mark = folder / "archive.json"
    if (
        mark.exists()
        and (entry := json.loads(mark.read_text()))
        and package.version in ("", entry["version"])
    ):
        archive = folder / entry["archive"]
    else:
        shutil.rmtree(folder)
        folder.mkdir()
        archive = CLIENTS[package.ecosystem](package, folder)
        entry = {
            "version": version_of(package, archive),
            "archive": archive.name,
            "sha256": hashlib.sha256(archive.read_bytes()).hexdigest(),
        }
        mark.write_text(json.dumps(entry))
    if pinned and pinned["sha256"] != entry["sha256"]:
        raise RuntimeError(f"{package.name} {entry['version']}: the archive is not the one in corpus.lock")
    return archive, entry
