import pyarrow.dataset as ds

cells = ds.dataset("results/cells").to_table().to_pandas()
metrics = ds.dataset("results/metrics").to_table().to_pandas()
before = cells[cells["stage"] == "evaluation"]
curve = metrics[metrics["step"].notna()].merge(before, on="key", suffixes=("", "_cell"))
columns = ["method", "seed", "learning_rate", "step", "value"]
print(curve[columns].sort_values(columns).to_string(index=False))
