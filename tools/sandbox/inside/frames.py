"""Messages over a stream: four bytes of length, then JSON."""

import json
import os
from typing import Any

MAX_BYTES = 64 * 2**20


def pack(message: dict[str, Any]) -> bytes:
    """The bytes of a message. JSON escapes keep even lone surrogates."""
    data = json.dumps(message).encode()
    return len(data).to_bytes(4, "big") + data


def send(fd: int, message: dict[str, Any]) -> None:
    """Write a whole message."""
    data = memoryview(pack(message))
    while data:
        data = data[os.write(fd, data) :]


def receive(fd: int) -> dict[str, Any] | None:
    """Read a whole message; None at the end of the stream, or of anything that is no message."""
    head = read_exactly(fd, 4)
    if head is None or (size := int.from_bytes(head, "big")) > MAX_BYTES:
        return None
    data = read_exactly(fd, size)
    return None if data is None else unpack(data)


def unpack(data: bytes) -> dict[str, Any] | None:
    """The message in the bytes after its length; None if there is none."""
    try:
        message = json.loads(data)
    except ValueError:
        return None
    return message if isinstance(message, dict) else None


def read_exactly(fd: int, size: int) -> bytes | None:
    """That many bytes, or None if the stream ends before."""
    parts = []
    while size:
        part = os.read(fd, min(size, 2**20))
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
