"""A worker that paints: each job becomes a PNG of one color, as its result.

Run it with `pgqueue worker jobs:worker`, and give it something to do with
`pgqueue job add paint swatch '{"color": "#3366ff", "size": 64}'`.
"""

from __future__ import annotations

import base64
import re
import struct
import zlib

from pgqueue import ActiveJob, Unrecoverable, Worker

worker = Worker("paint", concurrency=4)


@worker.handler("swatch")
def swatch(job: ActiveJob) -> dict[str, object]:
    """Paint a square of `size` points; a color that is none will not become one."""
    color, size = str(job.data.get("color")), int(job.data.get("size", 16))
    if not re.fullmatch(r"#[0-9a-f]{6}", color):
        raise Unrecoverable(f"{color} is no color; write it like #3366ff")
    row = b"\0" + bytes.fromhex(color[1:]) * size
    image = png(size, row * size)
    return {"bytes": len(image), "png": base64.b64encode(image).decode()}


def png(size: int, pixels: bytes) -> bytes:
    """Return a PNG file of rows of RGB, each led by its filter."""
    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(pixels)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body))
        + name
        + body
        + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )
