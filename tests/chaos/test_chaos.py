"""The short version of the chaos suite: a few kills over all victims, from one seed. `make chaos` runs the long one.

What is checked of each is in `lives.Life`: every trial there once and as without a kill, to the last bit, nothing that
had finished run again, one run of MLflow for each, no litter.
"""

from __future__ import annotations

import sys

import pytest

from tests.chaos import disk, rivals
from tests.chaos.moments import VICTIMS, Moment, Point, Trace, Victim, points, real_points
from tests.chaos.studies import BRIEF, REAL, SHORT
from tests.chaos.suite import Counts, Suite

pytestmark = [pytest.mark.skipif(sys.platform != "linux", reason="finds its processes in /proc")]
SEED = 1
TRACE = Trace(
    tuple(("open", f"file {i}") for i in range(50)),
    {"a": (("open", "a/log.txt"),) * 20},
    ("gain 1.0 seed 1 epoch 1 begins",),
    {"create_run": 6, "log_batch": 40},
)


@pytest.fixture(scope="module")
def suite():
    with Suite(SEED, Counts()) as suite:
        yield suite


def take(suite, figures):
    suite.take(figures)
    assert figures.problems == []
    assert figures.hit


def drawn(suite, victim: Victim, moment: str) -> Point:
    """The first point of a victim whose moment has a word in its name."""
    trace = suite.reference(SHORT).trace
    return next(one for one in points(SEED, 400, trace) if one.victim == victim and moment in one.moment.name)


# ------------------------------------------------------------------------------------------------------------- moments


def test_one_seed_draws_the_same_points_and_two_seeds_draw_others():
    assert points(1, 40, TRACE) == points(1, 40, TRACE) != points(2, 40, TRACE)
    assert {point.victim for point in points(1, 8, TRACE)} == set(VICTIMS)
    assert real_points(1, 3, TRACE) == real_points(1, 3, TRACE)


# --------------------------------------------------------------------------------------------------------------- kills


def test_what_is_killed_twice_comes_out_as_if_it_had_not_been(suite):
    with suite.life(suite.reference(SHORT)) as life:
        figures = life.strike(drawn(suite, "driver", "a trial's record `finished`"))
        take(suite, figures)
        figures = life.strike(drawn(suite, "worker", "the state of epoch"))
        life.complete(figures)
    suite.take(figures)
    # the first kill may have left too little to do for the second to find its moment
    assert figures.problems == []


def test_a_server_that_is_killed_is_brought_up_to_date(suite):
    point = drawn(suite, "server", "MLflow's log_batch")
    with suite.life(suite.reference(SHORT), point) as life:
        figures = life.strike(point)
        life.sync(figures)
        life.complete(figures)
    take(suite, figures)


def test_a_driver_that_is_killed_in_its_report_writes_it_again(suite):
    with suite.life(suite.reference(BRIEF)) as life:
        moment = Moment("file 3 of the report", event="os.rename", pattern="/report/", nth=3, role="driver")
        figures = life.strike(Point("driver", moment, again_at_once=True))
        life.complete(figures)
    take(suite, figures)


@pytest.mark.slow
def test_a_network_is_the_same_when_its_training_was_killed(suite):
    point = real_points(SEED, 1, suite.reference(REAL).trace)[0]
    with suite.life(suite.reference(REAL)) as life:
        figures = life.strike(point)
        life.complete(figures)
    take(suite, figures)


# ---------------------------------------------------------------------------------------------------- disks and rivals


@pytest.mark.skipif(disk.refusal() is not None, reason=str(disk.refusal()))
def test_a_full_disk_is_told_and_with_room_the_study_goes_on(suite):
    moment = Moment("in a state", event="open", pattern="last/state\\.new", nth=2)
    with suite.life(suite.reference(BRIEF)) as life, disk.small_disk(life.home):
        suite.give_database(life)
        figures = disk.strike(life, moment)
    take(suite, figures)


def test_of_two_drivers_that_start_together_one_works(suite):
    with suite.life(suite.reference(BRIEF)) as life:
        figures = rivals.together(life, 1)
    take(suite, figures)
