"""Attacks with settings."""

from __future__ import annotations


def small(cls, **settings):
    return cls(cls.Config(**settings))
