"""Two drivers on one home: one works, the other is refused at once and changes nothing."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.chaos import homes
from tests.chaos.lives import Figures, Life
from tests.chaos.processes import Driver, until


def _second(life: Life, trace: Path) -> Driver:
    trace.mkdir()
    return life.run(trace=trace)


def _changes(life: Life, trace: Path) -> list[str]:
    """What a driver has changed in the home, but for making folders that are there, opening the lock, and writing to a
    file that has no name."""
    found = []
    home = str(life.home)
    allowed = (home, f"{home}/trials", f"{home}/cache", f"{home}/.lock -> a+", f"{home} -> w+")
    for path in trace.iterdir():
        for line in path.read_text().splitlines():
            event, told = json.loads(line)
            if home in told and told not in allowed:
                found.append(f"{event} {told}")
    return found


def late(life: Life) -> Figures:
    """A second driver comes while the first is at work."""
    figures = Figures("rival", "while another is at work")
    first = life.run()
    until(lambda: "epoch 1" in first.told() or first.has_ended, 90)
    figures.hit = not first.has_ended
    figures.killed_at_s = first.seconds
    second = _second(life, life.folder / "second")
    code = second.end()
    figures.ended_s = second.seconds
    told = second.told()
    if code != 2 or f"process {first.process.pid} is running a study" not in told or "Traceback" in told:
        figures.problems.append(f"the second driver ended with {code}: {told}")
    if changes := _changes(life, life.folder / "second"):
        figures.problems.append(f"the second driver has changed {changes}")
    if (life.home / ".lock").read_text() != f"{first.process.pid}\n":
        figures.problems.append(f"the lock says {(life.home / '.lock').read_text()}")
    code = first.end()
    if code != 0:
        figures.problems.append(f"the first driver ended with {code}: {first.told()}")
    life.strays(first, figures)
    life.complete(figures)
    if any(record["attempts"] != 1 for record in homes.records(life.home).values()):
        figures.problems.append("a trial was started twice")
    return figures


def together(life: Life, number: int) -> Figures:
    """Two drivers start in the same instant."""
    figures = Figures("rivals", f"in the same instant, {number}", hit=True)
    drivers = [life.run(), life.run()]
    codes = []
    for driver in drivers:
        codes.append(driver.end())
    figures.ended_s = min(driver.seconds for driver in drivers)
    for driver in drivers:
        life.strays(driver, figures)
    if sorted(codes, key=str) != [0, 2]:
        figures.problems.append(f"they ended with {codes}: {[driver.told()[-500:] for driver in drivers]}")
    refused = next((driver for driver, code in zip(drivers, codes, strict=True) if code == 2), None)
    if refused is not None and not re.search(r"process (\d+|\?) is running a study", refused.told()):
        figures.problems.append(f"the refusal is {refused.told()}")
    life.complete(figures)
    if any(record["attempts"] != 1 for record in homes.records(life.home).values()):
        figures.problems.append("a trial was started twice")
    return figures
