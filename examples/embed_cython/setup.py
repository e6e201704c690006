from Cython.Build import cythonize
from setuptools import Extension, setup

setup(name="liquidity", ext_modules=cythonize([Extension("liquidity", ["liquidity.pyx"])]))
