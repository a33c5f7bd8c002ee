"""The error of text that cannot become machine code."""


class CompileError(RuntimeError):
    """LLVM does not accept the text, the text lacks the function asked for, or it uses a symbol nobody has."""
