"""Networks. Each builds a backend-neutral Keras 3 model; Keras is imported when one is built, not before."""
