"""Where a number comes from: code, packages, hardware, command. Nothing is imported to find out, and nothing is asked
of the network."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "transformers", "numpy", "scipy", "safetensors", "pydantic", "ray", "mlflow")
"""Those whose version can change a score or how it is recorded."""


def collect() -> dict[str, Any]:
    """Provenance of what this process starts."""
    return {
        "code": code(),
        "packages": packages(),
        "python": platform.python_version(),
        "hardware": hardware(),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
    }


@cache
def code() -> dict[str, Any]:
    """Commit of the checkout that the code runs from, and whether it was changed since; `None` without a checkout."""
    commit = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain")
    return {"commit": commit or None, "dirty": bool(changed) if commit else None}


def _git(*arguments: str) -> str | None:
    folder = Path(__file__).resolve().parent
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


@cache
def packages() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@cache
def hardware() -> dict[str, Any]:
    return {
        "host": platform.node(),
        "system": f"{platform.system()} {platform.release()}",
        "cpu": _cpu_model(),
        "cores": cores(),
        "memory_gib": _memory_gib(),
        "gpus": list(gpus()),
    }


def cores() -> int:
    """CPU cores that this process may use, which in a container or a batch job are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError):
        return None


@cache
def gpus() -> tuple[str, ...]:
    """Names of the GPUs that trials may use, by the driver's own tool, as torch is not loaded here."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    tool = shutil.which("nvidia-smi")
    if tool is None or visible in ("", "-1"):
        return ()
    try:
        done = subprocess.run(
            [tool, "--query-gpu=index,uuid,name", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=20, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ()
    rows = [[part.strip() for part in line.split(",", 2)] for line in done.stdout.splitlines() if line.count(",") >= 2]
    if visible is not None:
        wanted = [part.strip() for part in visible.split(",")]
        rows = [row for row in rows if row[0] in wanted or any(part and row[1].startswith(part) for part in wanted)]
    return tuple(name for _, _, name in rows)


def version_of_code(given: dict[str, Any]) -> str:
    """The commit of a provenance in one word."""
    commit = (given.get("code") or {}).get("commit")
    if not commit:
        return f"orchestrate {_own_version()}, no checkout"
    return f"{commit[:12]}{' with changes' if given['code'].get('dirty') else ''}"


def _own_version() -> str:
    try:
        return metadata.version("orchestrate")
    except metadata.PackageNotFoundError:
        return "?"
