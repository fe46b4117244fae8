"""The command that takes images of pages and their states."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tests.browser.driving import PROJECT


@pytest.mark.nightly
def test_an_image_of_one_state_in_both_themes(browser, tmp_path):
    command = [sys.executable, PROJECT / "docs" / "make_screenshots.py", "--all", tmp_path, "--only", "compare-e*", "--sizes", "phone"]
    subprocess.run(command, check=True)
    images = {path.name: Image.open(path).convert("L") for path in tmp_path.iterdir()}
    assert images.keys() == {"compare-empty-phone-light-0.png", "compare-empty-phone-dark-0.png"}
    assert {image.size for image in images.values()} == {(390, 844)}
    dark, light = (np.median(images[name]) for name in sorted(images))
    assert dark < 60 and light > 200
