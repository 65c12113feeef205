"""Benchmarks of a few words, and methods, attacks and analyses that fail when a test wants it."""

import os

import harness
from stub_plugin import faults
from stub_plugin.analyses import Gap, Lift
from stub_plugin.benchmarks import Alone, Bare, Compared, Files, Stub, Two
from stub_plugin.methods import Mortal, Patient, Sick
from stub_plugin.nudge import Nudge

if faults.TRAP in os.environ:
    faults.trap()


@harness.hookimpl
def register_methods(register):
    for cls in (Sick, Mortal, Patient):
        register(cls.name, cls)


@harness.hookimpl
def register_attacks(register):
    register("nudge", Nudge)


@harness.hookimpl
def register_benchmarks(register):
    for cls in (Stub, Two, Bare, Files, Compared, Alone):
        register(cls.name, cls)


@harness.hookimpl
def register_analyses(register):
    for cls in (Gap, Lift):
        register(cls.name, cls)
