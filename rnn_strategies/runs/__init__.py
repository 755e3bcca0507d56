"""Run folders, the workspace, warnings about data, and progress."""
