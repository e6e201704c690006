"""Public frames of Bybit v5: bytes in, books out. For Cython users: `apply_bytes`."""

cimport cython
from libc.stdint cimport int64_t, uint64_t

from fastbook.bybit.scan cimport Shape
from fastbook.core.book cimport Book, Level, Update
from fastbook.core.signals cimport SignalSet


cdef enum:
    TOPIC_TEXT_MAX = 63         # a longer topic is not a book's
    TOPIC_WORDS = 8             # of eight characters: holds such a text and its closing quote
    TOPICS_MAX = 4096           # books of one decoder; more are refused and counted


cdef struct Topic:
    # A row of the table that finds a book from the bytes of its topic.
    uint64_t hash
    int length                  # 0: the row is free
    int symbol_at               # where the symbol starts
    char[TOPIC_TEXT_MAX + 1] text
    void* book                  # borrowed; BookDecoder._books owns it
    int index                   # of the book
    const int* price_scale      # the book's own fields: it may be rescaled by others
    const int* qty_scale
    bint touched
    Shape price                 # of the last one, as text
    Topic* next                 # the row whose frame came after the last one of this row
    void* head                  # fastbook_head: how its frames begin


@cython.final
cdef class BookDecoder:
    cdef Topic* table           # open addressing, a power of two rows, at most half full
    cdef Py_ssize_t table_size
    cdef void* heads            # fastbook_head of each row; not typed here: it needs a C header
    cdef Level* bid_levels      # one frame is read whole before a book changes
    cdef Level* ask_levels
    cdef Topic* last_row        # of the last frame: the next one is often of the same topic
    cdef int* touched_rows
    cdef Py_ssize_t touched_len
    cdef int64_t[7] statuses    # frames by ApplyStatus
    cdef int64_t slow_frames
    cdef int64_t vector_frames
    cdef int64_t topics_refused
    cdef int64_t rescales
    cdef dict _books
    cdef dict _scales
    cdef dict _desynced         # topics, as an ordered set: bounded by the number of books
    cdef object _message
    cdef void* last_book_ptr    # borrowed
    cdef readonly SignalSet signals
    cdef public bint use_scanner
    cdef bint vectors           # read frames with the vector instructions of the machine
    cdef public object on_mark  # told of each state that is set from outside; or None

    # One whole text frame. Returns APPLY_*; `message` holds the object when TRADE or OTHER.
    cdef int apply_bytes(self, const char* data, Py_ssize_t size, int64_t recv_ns) except -1

    cdef Topic* find_words(self, const uint64_t* words, Py_ssize_t length) noexcept nogil
    cdef Topic* find_topic(self, const char* text, Py_ssize_t length) noexcept nogil
    cdef Topic* scan(self, const char* data, Py_ssize_t size, Update* update) noexcept nogil
    cdef bint scan_words(self, Topic* row, const char* data, Py_ssize_t size, Update* update) noexcept nogil
    cdef bint scan_vectors(self, Topic* row, const char* data, Py_ssize_t size, Update* update) noexcept nogil
    cdef int commit(self, Topic* row, Update* update) except -1
    cdef Topic* named_row(self, const char* data, const char* end) noexcept nogil
    cdef const char* scan_side(self, Topic* row, const char* p, const char* end, Level* levels, Py_ssize_t* count) noexcept nogil
    cdef void expect(self, Topic* row) noexcept nogil
    cdef bint scan_levels(self, Topic* row, const char* p, const char* end, Update* update) noexcept nogil
    cdef int rebuild_table(self) except -1
    cdef list touched_topics(self)
    cdef int mark(self, str topic, object state) except -1
    cdef void touch(self, Topic* row) noexcept
    cdef int apply_slowly(self, bytes frame, int64_t recv_ns) except -1
    cdef int apply_book_message(self, dict message, str topic, int64_t recv_ns) except -1
    cdef int refuse(self, object topic) except -1
