"""Where else a run is reported: each sink follows the run directory from outside, and can't slow the training."""
