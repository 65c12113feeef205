"""The built-in benchmarks: published ones, an embedded world in the schema of two of them, and countries."""

from harness import Register, hookimpl

# Paths and not classes: `harness list` must not import what a benchmark needs.
BENCHMARKS = {
    "countries": "harness.benchmarks.countries.benchmark:Countries",
    "faithun": "harness.benchmarks.faithun.benchmark:FaithUn",
    "faithun-mini": "harness.benchmarks.faithun.benchmark:FaithUnMini",
    "lume": "harness.benchmarks.lume.benchmark:Lume",
    "muse": "harness.benchmarks.muse.benchmark:Muse",
    "rwku": "harness.benchmarks.rwku.benchmark:Rwku",
    "tofu": "harness.benchmarks.tofu.benchmark:Tofu",
    "tofu-mini": "harness.benchmarks.tofu.benchmark:TofuMini",
    "wmdp": "harness.benchmarks.wmdp.benchmark:Wmdp",
}


@hookimpl
def register_benchmarks(register: Register) -> None:
    """Register every built-in benchmark."""
    for name, path in BENCHMARKS.items():
        register(name, path)
