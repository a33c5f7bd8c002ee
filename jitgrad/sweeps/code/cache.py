"""Compiled kernels on disk: one file of object code a kernel, in a folder only its owner can write to.

The folder is ``jitgrad`` in the user's folder for caches; ``JITGRAD_CACHE_DIR`` names another one, and set to the empty
string it turns the disk cache off. ``JITGRAD_CACHE_SIZE`` bounds it, in MB (256). Machine code that somebody else can write
to would be their code run as you. So a folder is refused if others can write to it, or exchange it because they can write to
one above it: one warning, no disk cache. And an entry is code only if it is a file that is the user's own, and that nobody
else can write to. Nothing here raises for a folder that is read-only or full, or an entry that is cut short, damaged or not
ours: the kernel is then compiled again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import struct
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import NamedTuple

from jitgrad.base.locks import disk

__all__ = ["CacheInfo", "clear", "info", "key_of", "load", "store"]

_MAGIC = b"jitgrad\x01"
_HEADER = struct.Struct("<8s32sQ32s")  # magic, key, payload length, sha256 of the payload
_SUFFIX = ".kernel"
_TEMPORARY = ".part"
_DEFAULT_MB = 256
_TRIM_EVERY = 64  # stores between two looks at the size: a listing of the folder costs more than a store

_warned: set[str] = set()
_counts = {"hits": 0, "misses": 0, "stored": 0}
_until_trim = 0


class CacheInfo(NamedTuple):
    """What is on disk (``folder`` is None where the disk cache is off or refused) and this process's counts."""

    folder: Path | None
    entries: int
    bytes: int
    limit: int
    hits: int
    misses: int
    stored: int


def key_of(*parts: str) -> str:
    """The sha256 of the parts as 64 hexadecimal digits; the parts' lengths count, so ("ab", "c") is not ("a", "bc")."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode()
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()


def load(key: str) -> bytes | None:
    """The bytes stored under ``key``; None where there are none, or what is there is not exactly what was stored."""
    folder = _folder()
    payload = None if folder is None else _read(folder / (key + _SUFFIX), bytes.fromhex(key))
    with disk:
        _counts["misses" if payload is None else "hits"] += 1
    return payload


def store(key: str, payload: bytes) -> bool:
    """Keep ``payload`` under ``key``, replacing what was there; returns whether it is on disk now, without raising.

    The file appears under its name only when complete, so a reader or a second writer never sees half of it.
    """
    folder = _folder(create=True)
    if folder is None or len(payload) > _limit():
        return False
    header = _HEADER.pack(_MAGIC, bytes.fromhex(key), len(payload), hashlib.sha256(payload).digest())
    try:
        write_whole(folder / (key + _SUFFIX), header, payload)
    except OSError:  # a full disk, a read-only folder, or (Windows) another process holding the entry open
        return False
    global _until_trim
    with disk:
        _counts["stored"] += 1
        _until_trim -= 1
        due = _until_trim < 0
        if due:
            _until_trim = _TRIM_EVERY
    if due:
        _trim(folder)
    return True


def write_whole(path: Path, *parts: bytes) -> None:
    """Write a file that only its owner can read, in one step: a reader sees the old one or all of the new one."""
    descriptor, name = tempfile.mkstemp(suffix=_TEMPORARY, dir=path.parent)  # made 0600
    try:
        with open(descriptor, "wb") as file:
            file.writelines(parts)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def clear() -> int:
    """Remove every entry, leaving files that are not ours alone; returns how many went."""
    folder = _folder()
    removed = 0
    if folder is not None:
        for path, *_ in _listing(folder):
            with contextlib.suppress(OSError):
                path.unlink()
                removed += 1
    return removed


def info() -> CacheInfo:
    """Folder, number of entries, their bytes, the bound in bytes, and the hits, misses and stores of this process."""
    folder = _folder()
    files = [] if folder is None else _listing(folder)
    return CacheInfo(folder, len(files), sum(size for _, size, _ in files), _limit(), **_counts)


def _read(path: Path, key: bytes) -> bytes | None:
    """The payload of an entry, or None unless owner, magic, key, length and checksum are all right; marks it as used now."""
    try:
        # O_NONBLOCK so that a pipe of that name cannot hang us, O_NOFOLLOW so that only a file of this folder is read
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        with open(path, "rb", opener=lambda name, _: os.open(name, flags)) as file:
            found = os.fstat(file.fileno())  # of what is read, whatever has that name by now
            if not stat.S_ISREG(found.st_mode) or _others_can_write(found):
                return None
            data = file.read()
    except OSError:
        return None
    if len(data) < _HEADER.size:
        return None
    magic, found, length, checksum = _HEADER.unpack_from(data)
    payload = data[_HEADER.size :]
    if magic != _MAGIC or found != key or length != len(payload) or hashlib.sha256(payload).digest() != checksum:
        return None
    with contextlib.suppress(OSError):
        os.utime(path)  # the modification time is the time of last use: see _trim
    return payload


def _folder(create: bool = False) -> Path | None:
    """The cache folder if there is one that may be trusted; with ``create`` made (0700) where it is missing."""
    named = os.environ.get("JITGRAD_CACHE_DIR")
    if named == "":
        return None
    try:
        folder = _user_caches() / "jitgrad" if named is None else Path(named).expanduser().absolute()
        # The way there is looked at without the links in it, and it is that which is used.
        folder = Path(os.path.realpath(folder.parent)) / folder.name
        objection = _objection_above(folder)
        if create and not objection:
            _make(folder)
        objection = objection or _objection(os.lstat(folder))
    except (OSError, RuntimeError):  # no permission, a file in the way, a read-only home, no home at all
        return None
    if objection:
        _warn_once(f"{folder}\0{objection}", f"jitgrad keeps no kernels on disk: the cache folder {folder} {objection}")
        return None
    return folder


def _make(folder: Path) -> None:
    """Make the folder and those above it that are missing, for the user alone whatever the umask."""
    for path in (*reversed(folder.parents), folder):
        if not os.path.lexists(path):
            with contextlib.suppress(FileExistsError):  # made meanwhile
                path.mkdir(0o700)


def _user_caches() -> Path:
    """Where programs of this user keep what can be made again: by the XDG specification, or as is usual elsewhere."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return named if named.is_absolute() else Path.home() / ".cache"  # the specification: ignore relative paths


def _objection(found: os.stat_result) -> str:
    """Why this folder cannot be trusted with machine code; empty where it can.

    What is in a folder that others could write to may be theirs whatever is done about that now, so the advice is to remove it.
    """
    if stat.S_ISLNK(found.st_mode):
        return "is a symbolic link: set JITGRAD_CACHE_DIR to the folder itself"
    if not stat.S_ISDIR(found.st_mode):
        return "is not a folder"
    if hasattr(os, "getuid") and found.st_uid != os.getuid():
        return "belongs to another user: set JITGRAD_CACHE_DIR to a folder of your own"
    if _others_can_write(found):
        return "can be written to by other users: remove it with all that is in it, and one that only you can write to is made"
    return ""


def _objection_above(folder: Path) -> str:
    """Why the way to this folder cannot be trusted: who can write to a folder can exchange the folders in it, but where its
    sticky bit is set."""
    for above in folder.parents:
        try:
            found = os.stat(above)
        except FileNotFoundError:
            continue
        if hasattr(os, "getuid") and found.st_uid not in (0, os.getuid()):
            return f"is in {above}, which belongs to another user: set JITGRAD_CACHE_DIR to a folder elsewhere"
        if _can_be_written(found) and not found.st_mode & stat.S_ISVTX:
            return (
                f"is in {above}, which can be written to by other users: set JITGRAD_CACHE_DIR to a folder elsewhere, or "
                "take that right away (chmod go-w) and remove the cache folder, and a new one is made"
            )
    return ""


def _others_can_write(found: os.stat_result) -> bool:
    """Whether anybody but the user (and root) decides what is in a file or folder."""
    return hasattr(os, "getuid") and (found.st_uid != os.getuid() or _can_be_written(found))


def _can_be_written(found: os.stat_result) -> bool:
    """By those who do not own it; on Windows the user's own folders are protected by their access lists."""
    return hasattr(os, "getuid") and bool(found.st_mode & (stat.S_IWGRP | stat.S_IWOTH))


def _limit() -> int:
    """The bound on the folder in bytes."""
    text = os.environ.get("JITGRAD_CACHE_SIZE", "")
    if not text.strip():
        return _DEFAULT_MB << 20
    try:
        return max(0, int(float(text) * (1 << 20)))
    except (ValueError, OverflowError):
        _warn_once(f"size\0{text}", f"JITGRAD_CACHE_SIZE={text!r} is not a number of MB: {_DEFAULT_MB} is used")
        return _DEFAULT_MB << 20


def _warn_once(what: str, message: str) -> None:
    with disk:
        if what in _warned:
            return
        _warned.add(what)
    warnings.warn(message, RuntimeWarning, stacklevel=4)


def _listing(folder: Path) -> list[tuple[Path, int, float]]:
    """(path, bytes, time of last use) of every entry."""
    files = []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(_SUFFIX):
                with contextlib.suppress(OSError):  # gone since it was listed
                    found = entry.stat(follow_symlinks=False)
                    files.append((Path(entry.path), found.st_size, found.st_mtime))
    return files


def _trim(folder: Path) -> None:
    """Bring the folder under its bound, the longest unused entries first, and remove what an interrupted store left."""
    files, limit = _listing(folder), _limit()
    total = sum(size for _, size, _ in files)
    if total > limit:
        for path, size, _ in sorted(files, key=lambda file: file[2]):
            if total <= limit * 3 // 4:  # some room, or the next look would find it full again
                break
            with contextlib.suppress(OSError):
                path.unlink()
                total -= size
    with contextlib.suppress(OSError):
        for path in folder.glob("*" + _TEMPORARY):
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < time.time() - 3600:
                    path.unlink()
