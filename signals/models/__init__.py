"""Networks: settings, and builders of backend-neutral Keras 3 models; Keras is imported only when one is built."""
