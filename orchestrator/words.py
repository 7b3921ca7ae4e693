"""Numbers as people read them."""

from __future__ import annotations


def counted(number: float, what: str) -> str:
    return f"{number:g} {what}{'s' if number > 1 else ''}"


def size(n_bytes: float) -> str:
    """Bytes in the unit that leaves the fewest digits."""
    units = ["B", "KiB", "MiB", "GiB"]
    while n_bytes >= 1024 and len(units) > 1:
        n_bytes /= 1024
        del units[0]
    return f"{n_bytes:.{0 if units[0] == 'B' else 1}f} {units[0]}"
