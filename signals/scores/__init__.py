"""The signal frame, and files of scores read and written."""
