"""Fold tasks, their executors, the choice of the trainer, and stored networks."""
