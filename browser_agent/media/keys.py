"""Where a file lies in the store: by its message's day and its content, so that the same photo is one object."""

import re
from datetime import UTC, datetime

# Only what is common in WhatsApp, and certain; Python's own list differs between machines.
_EXTENSIONS = {
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/webp": "webp",
    "image/gif": "gif",
    "image/heic": "heic",
    "video/mp4": "mp4",
    "video/3gpp": "3gp",
    "video/quicktime": "mov",
    "audio/ogg": "ogg",
    "audio/mpeg": "mp3",
    "audio/mp4": "m4a",
    "audio/aac": "aac",
    "audio/amr": "amr",
    "application/pdf": "pdf",
    "application/zip": "zip",
    "application/msword": "doc",
    "application/vnd.ms-excel": "xls",
    "application/vnd.ms-powerpoint": "ppt",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
    "text/plain": "txt",
    "text/csv": "csv",
    "text/vcard": "vcf",
}
_FILE_EXTENSION = re.compile(r"\.([A-Za-z0-9]{1,8})\Z")


def media_key(session_id: str, sent_at: float, sha256: str, mimetype: str | None, filename: str | None) -> str:
    """`media/SID/yyyy/mm/dd/sha256.ext`, of the message's day in UTC."""
    day = datetime.fromtimestamp(sent_at, UTC)
    return f"media/{session_id}/{day:%Y/%m/%d}/{sha256}.{extension(mimetype, filename)}"


def extension(mimetype: str | None, filename: str | None) -> str:
    """By the type, else by the file's name, else `bin`."""
    known = _EXTENSIONS.get((mimetype or "").partition(";")[0].strip().lower())
    if known is not None:
        return known
    named = _FILE_EXTENSION.search(filename or "")
    return named.group(1).lower() if named else "bin"
