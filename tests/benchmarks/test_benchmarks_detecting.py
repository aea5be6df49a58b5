"""The benchmark of detectors: nothing is wrongly removed, and ours is nearer to the truth than a hash."""

from benchmarks.detecting import Tally, judge, measure
from benchmarks.web import PageOnDay, Web

HASH, OURS = "hash of the Markdown", "ours"


def test_walls_failures_and_noise_are_told_from_changes():
    found = {str(record["detector"]): record for record in measure(Web(pages=240, days=4, seed=77))}
    assert found[OURS]["wrongly_removed"] == 0
    assert found[OURS]["precision"] > found[HASH]["precision"]
    assert found[OURS]["recall"] > 0.8
    assert found[OURS]["walls_as_content"] < found[HASH]["walls_as_content"] / 2


def test_each_kind_of_mistake_is_counted():
    def page(name, truth, kind=""):
        return PageOnDay(name, truth, kind, "text", None)

    before = [page("back", "blip")]
    day = [page("a", "changed", "price"), page("b", "unchanged", "clock"), page("c", "wall"), page("back", "unchanged")]
    tally = Tally()
    judge(before, day, {"a": "unchanged", "b": "changed", "c": "changed", "back": "changed"}, tally)
    judge([], [page("d", "failed")], {"d": "removed"}, tally)
    assert tally.record() == {
        "precision": 0.0,
        "recall": 0.0,
        "wrongly_removed": 1,
        "walls_as_content": 1,
        "missed_kinds": {"price": 1},
        "false_kinds": {"unchanged clock": 1},
    }
