# SPDX-License-Identifier: Apache-2.0
"""Stories over the whole request path: a real gateway process between a raw client and a scripted provider."""
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "harness"))
import stories  # noqa: E402


@pytest.fixture(autouse=True)
def needs_the_program():
    if not os.path.exists(stories.ENTENTE):
        pytest.skip("%s is not built" % os.path.relpath(stories.ENTENTE, stories.ROOT))
