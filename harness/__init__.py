"""Tells erasing from hiding: unlearning methods against attacks that bring the knowledge back.

    results = harness.run(methods=["gd", "npo"], attacks=["private-data"])
    results = harness.load("results")      # what an earlier run left there

Everything public is listed in ``__init__.pyi``, and loaded when it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
