"""Plain data, the classes plugins derive from, and identity. No torch, no pyarrow, no I/O but the hub."""
