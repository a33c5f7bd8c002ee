"""From LLVM text to machine code: compiler, linker, cache."""
