"""Facts by id."""

from __future__ import annotations


def ids(facts):
    return {fact.id for fact in facts}
