"""From a plan to LLVM text."""
