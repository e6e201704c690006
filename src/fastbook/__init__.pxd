from fastbook.core.book cimport Book, BookSide
