"""Fetches the packages of corpus.toml, checks them against corpus.lock and lays out the corpus.

Takes the manifest and, if there is one, the lock; gives CORPUS/{train,valid,test}/PACKAGE/FILE,
corpus.lock (version, SHA-256 and size of each package) and CORPUS.md (the same as a table).
clients.py downloads, filters.py decides which files stay.

    python fetch.py --corpus CORPUS --cache CACHE [--held-out DATA] [--update]
"""

import argparse
import gzip
import hashlib
import io
import json
import shutil
import sys
import tarfile
import tomllib
import zipfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import filters
from clients import Package, download, prepare_apt

HERE = Path(__file__).parent
SPLITS = ("train", "valid", "test")


def read_manifest(path: Path) -> list[Package]:
    manifest = tomllib.loads(path.read_text())
    return [
        Package(
            **{key: row[key] for key in ("name", "ecosystem", "version", "licence", "language", "split")},
            only=tuple(row.get("only", ())),
            cap=int(1e6 * row.get("cap_mb", manifest["cap_mb"])),
        )
        for row in manifest["packages"]
    ]


def members(archive: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    """The plain files of an archive, without the folder that tarballs put around everything."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as bundle:
            for name in bundle.namelist():
                if not name.endswith("/"):
                    yield PurePosixPath(name), bundle.read(name)
        return
    with tarfile.open(archive) as bundle:
        for member in bundle:
            parts = PurePosixPath(member.name).parts[1:]
            if member.isfile() and parts and ".." not in parts:
                yield PurePosixPath(*parts), bundle.extractfile(member).read()


def choose(
    package: Package,
    archive: Path,
    unseen: filters.Overlap,
    seen: set[bytes],
    familiar: filters.Familiar,
    dropped: Counter,
) -> dict[str, str]:
    """The files of a package that stay, by path; counts the others by the filter that refused them."""
    files: dict[str, str] = {}
    for path, data in members(archive):
        inner = within_wanted(path, package.only)
        if inner is None:
            continue
        if reason := filters.refuse_path(inner, package.language):
            dropped[reason] += 1
            continue
        text, reason = filters.clean(data)
        if text is None:
            dropped[reason] += 1
        elif filters.fingerprint(text) in seen:
            dropped["duplicate"] += 1
        elif unseen.touches(text):
            dropped["held out"] += 1
        elif familiar.knows(text):
            dropped["near-duplicate"] += 1
        else:
            seen.add(filters.fingerprint(text))
            files[str(path)] = text
    return within_cap(files, package.cap, dropped)


def within_wanted(path: PurePosixPath, only: tuple[str, ...]) -> PurePosixPath | None:
    """The path as the filters see it, or None for a file outside the folders that are wanted.

    A wanted folder is wanted whatever it is called, so its own name is taken off.
    """
    if not only:
        return path
    folder = next((folder for folder in only if path.is_relative_to(folder)), None)
    if folder is None:
        return None
    return path.relative_to(folder) if path != PurePosixPath(folder) else path


def within_cap(files: dict[str, str], cap: int, dropped: Counter) -> dict[str, str]:
    """A part of the files of at most `cap` bytes, the same on every run."""
    kept, size = {}, 0
    for path in sorted(files, key=lambda path: hashlib.sha256(path.encode()).digest()):
        size += len(files[path].encode())
        if size > cap:
            dropped["over the cap"] += 1
        else:
            kept[path] = files[path]
    return kept


def held_out(folder: Path | None) -> Iterator[str]:
    """Problems and solutions of the benchmarks under a folder (JSON lines, gzip or plain)."""
    for path in sorted(folder.rglob("*.jsonl*")) if folder else ():
        data = path.read_bytes()
        text = gzip.decompress(data) if path.suffix == ".gz" else data
        for line in io.BytesIO(text):
            row = json.loads(line)
            yield "\n".join(str(row.get(key, "")) for key in ("prompt", "canonical_solution", "suffix"))


def write_lock(path: Path, entries: dict[str, dict]) -> None:
    """corpus.lock: TOML, one table per package, in the manifest's order."""
    rows = ["# Written by fetch.py: what each package of corpus.toml was, and what the filters left of it.\n"]
    for key, entry in entries.items():
        rows.append(f'\n["{key}"]\n')
        rows += [f"{name} = {json.dumps(value)}\n" for name, value in entry.items()]
    path.write_text("".join(rows))


def write_table(path: Path, packages: list[Package], entries: dict[str, dict]) -> None:
    """CORPUS.md: the lock and the manifest side by side, for readers."""
    sizes: Counter = Counter()
    for package in packages:
        for language in (package.language, "all"):
            sizes[language, package.split] += entries[key_of(package)]["bytes"]
    rows = [
        "# The corpus of the embedded model\n\n",
        "Written by `fetch.py` from `corpus.toml` and `corpus.lock`; licences are SPDX names.\n\n",
        row("language", *(f"{split} MB" for split in SPLITS)),
        row(*["---"] * 4),
    ]
    for language in (*filters.EXTENSIONS, "all"):
        rows.append(row(language, *(f"{sizes[language, split] / 1e6:.2f}" for split in SPLITS)))
    rows += [
        "\n",
        row("package", "ecosystem", "version", "licence", "language", "split", "files", "MB"),
        row(*["---"] * 8),
    ]
    for package in packages:
        entry = entries[key_of(package)]
        what = (package.name, package.ecosystem, entry["version"], package.licence, package.language)
        rows.append(row(*what, package.split, entry["files"], f"{entry['bytes'] / 1e6:.2f}"))
    path.write_text("".join(rows))


def row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |\n"


def key_of(package: Package) -> str:
    return f"{package.ecosystem}:{package.name}"


def bring(packages: list[Package], cache: Path, pinned: dict[str, dict]) -> list[tuple[Path, dict]]:
    """All the archives with their lock entries; says what failed and exits if anything did."""

    def attempt(package: Package) -> tuple[Path, dict] | Exception:
        try:
            return download(package, cache, pinned.get(key_of(package)))
        except (RuntimeError, ValueError, StopIteration, OSError) as error:
            return error

    # Cargo holds a lock on its home, so its crates queue up by themselves; the others overlap.
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(attempt, packages))
    failed = 0
    for package, result in zip(packages, results, strict=True):
        if isinstance(result, Exception):
            print(f"{key_of(package)}: {result}", file=sys.stderr)
            failed += 1
    if failed:
        sys.exit(f"{failed} of {len(packages)} packages could not be fetched")
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--manifest", type=Path, default=HERE / "corpus.toml")
    parser.add_argument("--corpus", type=Path, required=True, help="folder to write the corpus to")
    parser.add_argument("--cache", type=Path, required=True, help="folder of the downloaded archives")
    parser.add_argument("--held-out", type=Path, help="folder of benchmarks (*.jsonl[.gz]) to keep out")
    parser.add_argument("--update", action="store_true", help="accept archives that differ from corpus.lock")
    options = parser.parse_args()

    packages = read_manifest(options.manifest)
    lock_path = options.manifest.with_suffix(".lock")
    pinned = tomllib.loads(lock_path.read_text()) if lock_path.exists() and not options.update else {}
    options.cache.mkdir(parents=True, exist_ok=True)
    prepare_apt(options.cache)
    archives = bring(packages, options.cache, pinned)

    unseen = filters.Overlap(held_out(options.held_out))
    seen: set[bytes] = set()
    familiar = filters.Familiar()
    entries: dict[str, dict] = {}
    shutil.rmtree(options.corpus, ignore_errors=True)
    # What is like a file for tests must not be trained on, so tests come first.
    order = sorted(zip(packages, archives, strict=True), key=lambda both: -SPLITS.index(both[0].split))
    for package, (archive, entry) in order:
        dropped: Counter = Counter()
        files = choose(package, archive, unseen, seen, familiar, dropped)
        for path, text in files.items():
            target = options.corpus / package.split / package.folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, newline="")
        size = sum(len(text.encode()) for text in files.values())
        entries[key_of(package)] = entry | {"files": len(files), "bytes": size}
        kept = f"{len(files)} files, {size / 1e6:.2f} MB"
        print(f"{package.split} {key_of(package)} {entry['version']}: {kept}; dropped {dict(dropped)}")
    entries = {key_of(package): entries[key_of(package)] for package in packages}
    write_lock(lock_path, entries)
    write_table(lock_path.with_name("CORPUS.md"), packages, entries)


if __name__ == "__main__":
    main()
