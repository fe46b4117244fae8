"""Progress texts that name their stage and carry measurements, through steps of steps."""

from encoding.fits.training_data import is_complete
from encoding.pipeline import FIT_STAGES, fit
from encoding.runtime.progress import Step, subprogress
from tests.conftest import TINY


def test_a_step_keeps_the_innermost_stage_that_was_named_last_and_its_measurements():
    heard = []
    report = subprogress(lambda fraction, text: heard.append((fraction, text)), 0.5, 1.0, stage="readout")
    subprogress(report, 0.0, 0.5)(1.0, Step("epoch 1", measured={"epoch": 1}))
    ((fraction, text),) = heard
    assert (fraction, text, text.stage, text.measured) == (0.75, "epoch 1", "readout", {"epoch": 1})


def test_a_fit_reports_every_stage_in_order_and_only_forwards(tiny, store):
    heard = []
    result = fit(TINY, store, lambda fraction, text: heard.append((fraction, getattr(text, "stage", ""))), "cpu")
    assert is_complete(result.plan, store)
    fractions, stages = zip(*heard, strict=True)
    assert list(fractions) == sorted(fractions) and fractions[-1] == 1.0
    begun = [stage for stage in dict.fromkeys(stages) if stage]  # readout and scores follow each other for every target group
    assert begun == [stage for stage in FIT_STAGES if stage in begun] and {"features", "readout", "scores"} <= set(begun)
