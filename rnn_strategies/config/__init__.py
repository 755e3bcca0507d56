"""Configuration files: reading, validation, presets, and the files that they name."""
