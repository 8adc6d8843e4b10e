"""The ceremonies' events on disk, in SQLite. Knows nothing of what an event means."""
