"""Native functions in files: a first line that says what it is, a checksum, then JSON, constants and an object file.

The machine code is for one kind of CPU, and its surroundings are those of one version of jitgrad, so the JSON names both
and `unpacked` refuses others. Nothing is unpickled.

What the JSON says of shapes and dtypes cannot be read off machine code, which would read and write beyond its arrays if that
were wrong. So the object file carries a seal, a constant with a digest of all that belongs together: a file whose
parts are not those that were saved together is refused, whatever its checksum.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import struct
from pathlib import Path
from typing import Any

from jitgrad.base.version import VERSION
from jitgrad.errors import DamagedFileError
from jitgrad.sweeps.code.cache import write_whole
from jitgrad.sweeps.code.compiler import host

_MAGIC = b"jitgrad native function 3\n"
_LENGTHS = struct.Struct("<QQQ")
_MARK = hashlib.sha256(b"the seal of a native function of jitgrad").digest()[:16]  # the seal comes behind it
_NO_SEAL = bytes(hashlib.sha256().digest_size)
SEAL = '@jitgrad_seal = constant [48 x i8] c"' + "".join(f"\\{byte:02x}" for byte in _MARK + _NO_SEAL) + '"\n'
"""The line of LLVM text that makes room for it."""


def write(path: Path, content: bytes) -> None:
    """Write the file, whole or not at all."""
    path = path.absolute()
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: name a file in it")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent} to write {path.name} to: make it first")
    write_whole(path, content)


def packed(manifest: dict[str, Any], data: bytes, code: bytes) -> bytes:
    """The content of a file: all that is given, and what the machine code in it depends on. The code is `sealed`."""
    head = _head(manifest)
    body = _LENGTHS.pack(len(head), len(data), len(code)) + head + data + code
    return _MAGIC + hashlib.sha256(body).digest() + body


def _head(manifest: dict[str, Any]) -> bytes:
    return json.dumps(manifest | _here()).encode()


def sealed(manifest: dict[str, Any], data: bytes, code: bytes) -> bytes:
    """An object file, which was made of a text with `SEAL` in it, sealed as what belongs to that description and these
    constants."""
    return _with_seal(code, _seal(_head(manifest), data, code))


def _with_seal(code: bytes, seal: bytes) -> bytes:
    before, mark, after = code.partition(_MARK)
    return before + mark + seal + after[len(seal) :]


def _seal(head: bytes, data: bytes, code: bytes) -> bytes:
    digest = hashlib.sha256(_LENGTHS.pack(len(head), len(data), len(code)))
    for part in (head, data, _with_seal(code, _NO_SEAL)):
        digest.update(part)
    return digest.digest()


def unpacked(content: bytes, path: str) -> tuple[dict[str, Any], bytes, bytes]:
    """The JSON, the constants and the object file. Raises `ValueError` and `RuntimeError`, see `jitgrad.load_compiled`."""
    if not content.startswith(_MAGIC):
        raise DamagedFileError(f"{path} is no native function of jitgrad (or of another version): save it again")
    start = len(_MAGIC) + hashlib.sha256().digest_size
    body = content[start:]
    if hashlib.sha256(body).digest() != content[len(_MAGIC) : start] or len(body) < _LENGTHS.size:
        raise DamagedFileError(f"{path} is damaged or cut short: save it again")
    lengths = _LENGTHS.unpack_from(body)
    if sum(lengths) != len(body) - _LENGTHS.size:
        raise damaged(path, f"its parts are said to have {lengths} bytes, and {len(body) - _LENGTHS.size} are there")
    ends = [_LENGTHS.size + sum(lengths[:i]) for i in range(4)]
    head, data, code = (body[a:b] for a, b in itertools.pairwise(ends))
    manifest = _manifest(head, path)
    if code.count(_MARK) != 1 or _with_seal(code, _seal(head, data, code)) != code:
        raise damaged(path, "its description or its constants are not those of its machine code")
    return manifest, data, code


def _manifest(head: bytes, path: str) -> dict[str, Any]:
    """The JSON, if it is that of a function for this machine and this version."""
    try:
        manifest = json.loads(head)
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"its description is no JSON ({error})") from None
    here = _here()
    if not isinstance(manifest, dict) or not all(isinstance(manifest.get(what), str) for what in here):
        raise damaged(path, f"its description does not say {', '.join(here)}")
    for what, value in here.items():
        if manifest[what] != value:
            raise RuntimeError(f"{path} was saved for {_difference(what, manifest[what], value)}: compile and save it here")
    return manifest


def damaged(path: str, what: str) -> DamagedFileError:
    """The error of a file that is whole by its checksum, and wrong."""
    return DamagedFileError(f"{path} is damaged: {what}: save it again")


def _here() -> dict[str, str]:
    """What the machine code depends on."""
    return {"jitgrad": VERSION, **host()._asdict()}


def _difference(what: str, saved: str, here: str) -> str:
    if what != "features":
        return f"{what} {saved}, and here is {what} {here}"
    more = sorted(set(saved.split(",")) - set(here.split(",")))
    return f"a CPU with other features ({', '.join(more[:6])})"
