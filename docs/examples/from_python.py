import harness

results = harness.run(
    methods=["ssiuu", "gd"],
    attacks=["private-data"],
    benchmarks=["faithun-mini"],
    seeds=1,
)
print(results.to_pandas())
results.plot_relearning()
results.plot_tradeoff()
