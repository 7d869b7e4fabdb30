"""The QR as text and as PNG."""

import struct

from whatsapp_contract import qr

PAYLOAD = "2@" + ",".join(["x" * 44] * 4) + ",1"


def test_the_text_is_a_block_of_even_lines() -> None:
    lines = qr.as_text(PAYLOAD).strip("\n").splitlines()
    assert len({len(line) for line in lines}) == 1
    assert len(lines) == (len(lines[0]) + 1) // 2  # two modules a character, one above the other
    assert set("".join(lines)) <= set(" ▀▄█\xa0")


def test_the_png_is_a_square_with_a_quiet_zone() -> None:
    png = qr.as_png(PAYLOAD, box_px=4)
    assert png.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", png[16:24])
    assert width == height
    modules = len(qr.as_text(PAYLOAD).splitlines()[0])
    assert width == modules * 4
