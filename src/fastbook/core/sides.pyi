# For Cython users there is sides.pxd; fastbook.core.book has the class.
def ladder_sums(
    quantities: list[int], best: int, levels: int
) -> tuple[tuple[int, int], tuple[int, int]]: ...
