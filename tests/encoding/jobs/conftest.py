"""The spec of a job."""

from __future__ import annotations

import pytest


@pytest.fixture
def spec(tmp_path, request):
    """A spec whose trace tells when tasks began, and a key that no other test uses."""
    return {"trace": str(tmp_path / "trace"), "key": f"test-{request.node.name}"}
