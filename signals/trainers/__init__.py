"""Trainers: the interface, the training loop, Keras, and the compiled trainer."""
