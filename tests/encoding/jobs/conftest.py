"""The spec of a job."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="package", autouse=True)
def cold_workers():
    """Workers import torch when a task needs it: most tasks here do not, and many workers end within seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DASK_ENCODING__WARM_UP", "False")
        yield


@pytest.fixture
def spec(tmp_path, request):
    """A spec whose trace tells when tasks began, and a key that no other test uses."""
    return {"trace": str(tmp_path / "trace"), "key": f"test-{request.node.name}"}
