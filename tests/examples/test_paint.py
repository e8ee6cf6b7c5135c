"""The smallest example, run as its documentation says."""

from __future__ import annotations

import base64
from pathlib import Path

from cli.calling import call, environment
from pgqueue import Queue

PAINT = Path(__file__).parents[2] / "examples" / "paint"


def test_it_paints_what_is_a_color_and_fails_what_is_none(dsn: str) -> None:
    with Queue("paint", dsn=dsn) as queue:
        blue = queue.add("swatch", {"color": "#3366ff", "size": 8})
        none = queue.add("swatch", {"color": "soon"}, attempts=5)
        done = call("worker", "jobs:worker", "--drain", env=environment(dsn), cwd=PAINT)
        assert done.code == 0
        painted, refused = queue.get(blue.id), queue.get(none.id)
    assert base64.b64decode(painted.result["png"]).startswith(b"\x89PNG\r\n")
    assert refused.state == "failed"
    assert refused.error == "soon is no color; write it like #3366ff"
    assert refused.attempt == 1
