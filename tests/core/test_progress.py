import pytest

from urbanfm_core.errors import Cancelled
from urbanfm_core.progress import Meter, Progress, duration


class Recorder(Progress):
    def __init__(self, stop_after=None):
        self.updates, self.checks, self.stop_after = [], 0, stop_after

    def update(self, fraction, message=""):
        self.updates.append((fraction, message))

    def cancelled(self):
        self.checks += 1
        return self.stop_after is not None and self.checks > self.stop_after


def test_meter_says_count_rate_and_time_left():
    times = iter([0.0, 50.0, 100.0])
    recorder = Recorder()
    meter = Meter(recorder, "regions", 2000, clock=lambda: next(times))
    meter.advance(412)
    meter.advance(588)
    assert recorder.updates[0] == (0.206, "412/2,000 regions, 8.2/s, about 3 min left")
    assert recorder.updates[1][0] == 0.5


def test_meter_reports_at_most_ten_times_a_second_but_always_the_end():
    clock = iter(i * 0.001 for i in range(1000))
    recorder = Recorder()
    meter = Meter(recorder, "items", 500, clock=lambda: next(clock))
    for _ in range(500):
        meter.advance()
    assert len(recorder.updates) <= 7
    assert recorder.updates[-1][0] == 1.0


def test_parts_nest_and_share_cancellation():
    recorder = Recorder(stop_after=0)
    part = recorder.part(0.5, 1.0).part(0.5, 1.0)
    part.update(0.5, "here")
    assert recorder.updates == [(0.875, "here")]
    with pytest.raises(Cancelled):
        part.check()


def test_track_stops_between_items():
    recorder = Recorder(stop_after=2)
    seen = []
    with pytest.raises(Cancelled):
        for item in recorder.track(range(10), "items"):
            seen.append(item)
    assert seen == [0, 1]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "less than 1 s"), (42, "about 42 s"), (200, "about 3 min"), (7300, "about 2.0 h")],
)
def test_durations_read_like_speech(seconds, text):
    assert duration(seconds) == text
