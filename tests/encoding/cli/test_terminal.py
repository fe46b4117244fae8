"""Progress, tables and sizes as a terminal shows them."""

import io

import pytest

from encoding.cli.terminal import Progress, file_size, table


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_plain_lines_come_at_most_once_a_second():
    clock, stream = Clock(), io.StringIO()
    progress = Progress(stream, clock=clock)
    for step in range(101):
        clock.now = step / 20
        progress(step / 100, f"step {step}")
    progress.close()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 6 and lines[0] == "  0 %  step 0" and lines[-1].startswith("100 %  step 100")
    assert "\r" not in stream.getvalue()
    assert lines[2] == " 40 %  step 40, about 3 s left"


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    return Terminal()


def test_a_terminal_gets_one_bar_that_goes_away(terminal):
    progress = Progress(terminal)
    for step in range(51):
        progress(step / 100, "extracting [features]")
    progress.say("warning: something")
    progress.close()
    drawn, _, after = terminal.getvalue().partition("warning: something\n")
    assert "extracting [features]" in drawn and " 50%" in drawn and after == ""
    assert drawn.count("\n") == drawn.count("\x1b[1A"), "every line that was drawn is taken back"


def test_a_terminal_that_can_draw_nothing_gets_lines(terminal, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    Progress(terminal, clock=Clock())(0.5, "half")
    assert terminal.getvalue() == " 50 %  half\n"


def test_progress_never_goes_back():
    clock, stream = Clock(), io.StringIO()
    progress = Progress(stream, clock=clock)
    for clock.now, fraction in ((0, 0.4), (1, 0.1), (2, 1.7)):
        progress(fraction, "")
    assert [line.split()[0] for line in stream.getvalue().splitlines()] == ["40", "40", "100"]


def test_time_left_ignores_what_was_found_done_already():
    clock, stream = Clock(), io.StringIO()
    progress = Progress(stream, clock=clock)
    clock.now = 0.2
    progress(0.5, "")  # half of the work in a fifth of a second: it was kept from before
    for step in range(1, 21):
        clock.now = 0.2 + step
        progress(0.5 + step / 100, "")
    assert stream.getvalue().splitlines()[-1] in (" 70 %  , about 30 s left", " 70 %  , about 31 s left"), "rounded up"


def test_columns_are_aligned():
    text = table(["a", "count"], [["long name", "1"], ["b", "1,000"]], align="<>", groups=[("", 1), ("mid", 1)])
    assert text == "            mid\na          count\nlong name      1\nb          1,000"


@pytest.mark.parametrize(("n_bytes", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (3_400_000, "3.4 MB"), (5e12, "5,000.0 GB")])
def test_sizes_read_well(n_bytes, text):
    assert file_size(int(n_bytes)) == text
