# Copyright (c) 2026 Liveforge contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Layers: which base one may be put on. tests/integration/test_stacked_layers.py stacks them, which needs root."""

from __future__ import annotations

import pytest

from ansible_collections.liveforge.images.plugins.module_utils._errors import StageError
from ansible_collections.liveforge.images.plugins.module_utils._layers import require_same_base


def test_layer_is_not_put_on_another_base() -> None:
    """A base that was built anew between two stages of an image: nobody may notice only when it boots."""
    require_same_base("base", "/base.img", "a" * 64, "a" * 64)
    # A base or layer that was made by hand.
    require_same_base("base", "/base.img", None, "a" * 64)
    with pytest.raises(StageError, match=r"base: /base\.img is not what the layer was made on"):
        require_same_base("base", "/base.img", "a" * 64, "b" * 64)
