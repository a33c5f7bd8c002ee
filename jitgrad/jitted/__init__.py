"""`jit`: a tape for each kind of arguments, and the way to the right one."""
