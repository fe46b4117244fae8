"""A data set that is not here is explained by every page on which it can be chosen, in the main area."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("view", ["10_explore", "20_data", "30_layers", "35_experiments"])
def test_every_page_explains_it_with_commands_and_a_button(open_page, tmp_path, monkeypatch, view):
    monkeypatch.setenv("ENCODING_DATA_DIR", str(tmp_path / "data"))
    page = open_page(view, dataset="img2brain").run()
    assert not page.exception and not page.error
    assert "img2brain is not on this machine" in [each.value for each in page.main.header]
    folder = tmp_path / "data" / "img2brain"
    commands = [each.value for each in page.main.code]
    assert f"python -m encoding simulate --layout img2brain --out {folder}" in commands
    assert any(button.key == "simulate_img2brain" for button in page.main.button)
