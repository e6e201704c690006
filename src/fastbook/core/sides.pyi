# Nothing for Python: sides.pxd is for Cython. fastbook.core.book has the class.
