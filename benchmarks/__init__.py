"""The built-in benchmarks: FaithUn and TOFU, and an embedded world in the schema of each."""

from harness import hookimpl
from harness.plugins.hookspecs import Register


@hookimpl
def register_benchmarks(register: Register) -> None:
    register("faithun", "harness.benchmarks.faithun:FaithUn")
    register("faithun-mini", "harness.benchmarks.faithun:FaithUnMini")
    register("tofu", "harness.benchmarks.tofu:Tofu")
    register("tofu-mini", "harness.benchmarks.tofu:TofuMini")
