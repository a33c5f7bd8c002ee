"""Native functions in files: a first line that says what it is, a checksum, then JSON, constants and an object file.

The machine code is for one kind of CPU, and its surroundings are those of one version of jitgrad, so the JSON names both
and `unpacked` refuses others. Nothing is unpickled.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import struct
from pathlib import Path
from typing import Any

from jitgrad.sweeps.cache import write_whole
from jitgrad.sweeps.compiler import host

_MAGIC = b"jitgrad native function 2\n"
_LENGTHS = struct.Struct("<QQQ")


def write(path: Path, content: bytes) -> None:
    """Write the file, whole or not at all."""
    path = path.absolute()
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: name a file in it")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent} to write {path.name} to: make it first")
    write_whole(path, content)


def packed(manifest: dict[str, Any], data: bytes, code: bytes) -> bytes:
    """The content of a file: all that is given, and what the machine code in it depends on."""
    head = json.dumps(manifest | _here()).encode()
    body = _LENGTHS.pack(len(head), len(data), len(code)) + head + data + code
    return _MAGIC + hashlib.sha256(body).digest() + body


def unpacked(content: bytes, path: str) -> tuple[dict[str, Any], bytes, bytes]:
    """The JSON, the constants and the object file. Raises `ValueError` and `RuntimeError`, see `jitgrad.load_compiled`."""
    if not content.startswith(_MAGIC):
        raise ValueError(f"{path} is no native function of jitgrad (or one of a version with another format): save it again")
    start = len(_MAGIC) + hashlib.sha256().digest_size
    body = content[start:]
    if hashlib.sha256(body).digest() != content[len(_MAGIC) : start]:
        raise ValueError(f"{path} is damaged or cut short: save it again")
    lengths = _LENGTHS.unpack_from(body)
    ends = [_LENGTHS.size + sum(lengths[:i]) for i in range(4)]
    head, data, code = (body[a:b] for a, b in itertools.pairwise(ends))
    manifest = json.loads(head)
    here = _here()
    for what, value in here.items():
        if manifest[what] != value:
            raise RuntimeError(f"{path} was saved for {_difference(what, manifest[what], value)}: compile and save it here")
    return manifest, data, code


def _here() -> dict[str, str]:
    """What the machine code depends on."""
    import jitgrad  # here: jitgrad imports this module's users

    return {"jitgrad": jitgrad.__version__, **host()._asdict()}


def _difference(what: str, saved: str, here: str) -> str:
    if what != "features":
        return f"{what} {saved}, and here is {what} {here}"
    more = sorted(set(saved.split(",")) - set(here.split(",")))
    return f"a CPU with other features ({', '.join(more[:6])})"
