"""Words, lines and code points.

`layout` cuts a batch once for all families; `kernels` are the compiled parts they share.
"""
