"""The use cases: wires the rooms below together, and knows nothing of Click or of how things are shown."""
