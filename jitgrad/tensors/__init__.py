"""What users hold: `Tensor`, its values, its changes in place, its text."""
