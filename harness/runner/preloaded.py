"""Tables that a library makes on first use: made in the fork server, for all processes."""

from __future__ import annotations

import contextlib

with contextlib.suppress(ImportError, AttributeError, TypeError):  # no part of its public interface
    from transformers.conversion_mapping import get_checkpoint_conversion_mapping

    get_checkpoint_conversion_mapping("llama")  # compiles 900 regular expressions, for all families at once
