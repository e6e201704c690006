# Nothing for Python: windows.pxd is for Cython. fastbook.core.kernels has the classes.
