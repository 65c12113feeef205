import pyarrow.dataset as ds

cells = ds.dataset("results/cells").to_table().to_pandas()
metrics = ds.dataset("results/metrics").to_table().to_pandas()

what = ["method", "attack", "variant", "seed"]
named = cells[["key", *what]].merge(metrics, on="key")
curves = named[named.step.notna()]  # a point for each checkpoint and rate
columns = [*what, "metric", "learning_rate", "step", "value"]
print(curves[columns].to_string(index=False))
