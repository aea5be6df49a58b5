"""Bytes of a page to text: byte order mark, then header, then `<meta>`, then UTF-8, then Windows-1252."""

import codecs
import re
from typing import Final

_BOMS: Final = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_IN_HEADER: Final = re.compile(r"charset\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE)
_IN_META: Final = re.compile(rb"<meta[^>]*?charset\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
_PRESCAN: Final = 4096

# Browsers read these labels as Windows-1252; a page that says latin-1 and has curly quotes means that.
_AS_WINDOWS: Final = frozenset({"iso8859-1", "ascii"})
# Python decodes these as text, but no page is written in them.
_NO_PAGES: Final = frozenset({"utf-7", "idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined"})


def decode(body: bytes, content_type: str = "") -> str:
    """The text of a page. What its charset cannot express becomes U+FFFD; it never fails."""
    for mark, name in _BOMS:
        if body.startswith(mark):
            return body[len(mark) :].decode(name, errors="replace")
    in_header = _IN_HEADER.search(content_type)
    in_meta = _IN_META.search(body[:_PRESCAN])
    labels = [in_header[1]] if in_header else []
    labels += [in_meta[1].decode("ascii", errors="replace")] if in_meta else []
    known = next(filter(None, map(_python_name, labels)), None)
    return body.decode(known, errors="replace") if known else _guess(body)


def _python_name(label: str) -> str | None:
    try:
        name = codecs.lookup(label).name.replace("_", "-")
        "".encode(name)
    except (LookupError, UnicodeError):  # unknown, or not for text
        return None
    return None if name in _NO_PAGES else "cp1252" if name in _AS_WINDOWS else name


def _guess(body: bytes) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return body.decode("cp1252", errors="replace")
