"""The built-in benchmarks: FaithUn and TOFU, an embedded world in the schema of each, and countries."""

from harness import Register, hookimpl

# Paths and not classes: `harness list` must not import what a benchmark needs.
BENCHMARKS = {
    "countries": "harness.benchmarks.countries.benchmark:Countries",
    "faithun": "harness.benchmarks.faithun.benchmark:FaithUn",
    "faithun-mini": "harness.benchmarks.faithun.benchmark:FaithUnMini",
    "tofu": "harness.benchmarks.tofu.benchmark:Tofu",
    "tofu-mini": "harness.benchmarks.tofu.benchmark:TofuMini",
}


@hookimpl
def register_benchmarks(register: Register) -> None:
    """Register every built-in benchmark."""
    for name, path in BENCHMARKS.items():
        register(name, path)
