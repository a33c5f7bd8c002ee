"""What knows nobody: settings, trees, locks, signals, the version, and NumPy without its warnings."""
