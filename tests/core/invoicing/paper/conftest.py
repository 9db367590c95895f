"""The sample invoice, for tests that read it in print."""

from typing import Any

import pytest

from tests.core.invoicing.papers import sample


@pytest.fixture
def invoice() -> dict[str, Any]:
    return sample()
