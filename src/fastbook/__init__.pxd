# For an embedder's Cython: `from fastbook cimport Book, BookSide, side_set`.
from fastbook.core.book cimport (
    Book, BookSide, Level, Update,
    side_best_px, side_best_qty, side_clear, side_qty_at, side_set, side_top,
)
