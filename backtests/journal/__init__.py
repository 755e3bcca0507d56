"""Journal of fills that were made, replayed in place of simulated fills."""
