"""A QR payload as terminal text or PNG, for the console, the cli and the web page alike."""

import io


def as_text(payload: str) -> str:
    """Half blocks, dark on light whatever the terminal's colours are; about 65 columns and 33 lines."""
    code = _code(payload)
    out = io.StringIO()
    code.print_ascii(out=out, invert=True)
    return out.getvalue()


def as_png(payload: str, box_px: int = 8) -> bytes:
    """Black on white with the quiet zone that scanners need."""
    from qrcode.image.pure import PyPNGImage

    code = _code(payload)
    code.box_size = box_px
    out = io.BytesIO()
    code.make_image(image_factory=PyPNGImage).save(out)
    return out.getvalue()


def _code(payload: str):  # type: ignore[no-untyped-def]  # the library's class is generic over its image types
    import qrcode

    code = qrcode.QRCode(error_correction=qrcode.constants.ERROR_CORRECT_L, border=4)
    code.add_data(payload)
    code.make(fit=True)
    return code
