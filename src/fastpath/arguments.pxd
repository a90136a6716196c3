# Arguments of calls from Python, made into C; what does not fit is refused with the argument's name and what it takes.
#
# Row 0, for everything that Python can call. Cython's own conversions do the work, and cost what they cost; only their refusals
# are replaced, because those name no argument: TypeError for what is no number, array, str or bytes at all, ValueError for one
# that does not fit. So a call converts all it is given before it changes anything.
#
# A conversion may run code of the caller (__index__, __buffer__), which may do anything, also to what this call is about. So a call
# looks at tables, at a batch and at what arrays hold only when the last of its arguments is converted.

from cpython.buffer cimport PyBUF_SIMPLE, PyObject_GetBuffer
from cpython.number cimport PyNumber_Index
from libc.stdint cimport INT64_MAX, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef enum:
    BYTE_MAX = 0xFF
    SHORT_MAX = 0xFFFF
    WORD_MAX = 0xFFFFFFFF


# ---- numbers ----

cdef inline object wrong_number(object value, str name, object least, object most):
    if hasattr(type(value), "__index__"):
        return ValueError(f"{name} must be {least} to {most}, not {value}")
    return TypeError(f"{name} must be an int, {least} to {most}, not {type(value).__name__}")


cdef inline int64_t integer(object value, str name, int64_t least, int64_t most) except? -1:
    """An int from least to most."""
    cdef int64_t number
    try:
        number = value if isinstance(value, int) else PyNumber_Index(value)     # a float would be cut
        if least <= number <= most:
            return number
    except (TypeError, OverflowError):
        pass
    raise wrong_number(value, name, least, most)


cdef inline uint64_t uint64(object value, str name) except? 0xFFFFFFFFFFFFFFFF:
    """An int of 64 bits, none below 0: hashes, times in ns."""
    try:
        return <uint64_t> (value if isinstance(value, int) else PyNumber_Index(value))
    except (TypeError, OverflowError):
        raise wrong_number(value, name, 0, 0xFFFFFFFFFFFFFFFF) from None


cdef inline int row_number(object value, str name, const int* count) except -1:
    """The number of a row in use; IndexError for another, as lists have it."""
    cdef int64_t number = integer(value, name, -INT64_MAX - 1, INT64_MAX)
    if not 0 <= number < count[0]:
        raise IndexError(f"{name} must be a row in use, 0 to {count[0] - 1}, not {value}")
    return <int> number


# ---- bytes, text, addresses ----

cdef inline bytes octets(object value, str name):
    """What is bytes-like as bytes; bytes() itself would make zeros of an int."""
    if isinstance(value, bytes):
        return value
    try:
        return bytes(memoryview(value))
    except TypeError:
        raise TypeError(f"{name} must be bytes-like, not {type(value).__name__}") from None


cdef inline bytes octets_of(object value, str name, Py_ssize_t size):
    """As many bytes as there must be."""
    cdef bytes data = octets(value, name)
    if len(data) != size:
        raise ValueError(f"{name} must be {size} bytes, not {len(data)}")
    return data


cdef inline list listed(object value, str name, str form):
    """What can be gone through as a list."""
    try:
        return list(value)
    except TypeError:
        raise TypeError(f"{name} must be {form}, not {type(value).__name__}") from None


cdef inline list several(object value, str name, str form, Py_ssize_t size):
    """As many as there must be."""
    cdef list parts = listed(value, name, form)
    if len(parts) != size:
        raise ValueError(f"{name} must be {form}, not {value!r}")
    return parts


cdef inline object ip(object value, str name):
    """What ipaddress makes of it, of either family."""
    from ipaddress import ip_address
    try:
        return ip_address(value)
    except ValueError as error:
        raise ValueError(f"{name} must be an IP address: {error}") from None


cdef inline uint32_t ipv4(object value, str name) except? 0xFFFFFFFF:
    """An IPv4Address, or what one is made of, as a number."""
    from ipaddress import IPv4Address
    try:
        return <uint32_t> int(IPv4Address(value))
    except ValueError as error:
        raise ValueError(f"{name} must be an IPv4 address: {error}") from None


cdef inline bytes mapped(object address):
    """The 16 bytes of an address, IPv4 as ::ffff:a.b.c.d (RFC 4291 §2.5.5.2)."""
    return bytes(10) + b"\xff\xff" + address.packed if address.version == 4 else address.packed


cdef inline bytes encoded(object value, str name):
    """The UTF-8 of a str."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    try:
        return value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{name} must be encodable as UTF-8: {error}") from None


# ---- arrays: one-dimensional, C-contiguous, of exactly this type ----

cdef inline object present(object array):
    """Not None, which a memoryview may be."""
    if array is None:
        raise TypeError("it is None")
    return array


cdef inline object wrong_array(str name, str form, object error):
    cdef object kind = TypeError if isinstance(error, TypeError) else ValueError
    return kind(f"{name} must be {form}, C-contiguous: {error}")


cdef inline const uint8_t[::1] uint8s(object array, str name):
    try:
        return present(array)
    except (TypeError, ValueError, BufferError) as error:
        raise wrong_array(name, "uint8[n]", error) from None


cdef inline const uint16_t[::1] uint16s(object array, str name):
    try:
        return present(array)
    except (TypeError, ValueError, BufferError) as error:
        raise wrong_array(name, "uint16[n]", error) from None


cdef inline const uint32_t[::1] uint32s(object array, str name):
    try:
        return present(array)
    except (TypeError, ValueError, BufferError) as error:
        raise wrong_array(name, "uint32[n]", error) from None


cdef inline const uint64_t[::1] uint64s(object array, str name):
    try:
        return present(array)
    except (TypeError, ValueError, BufferError) as error:
        raise wrong_array(name, "uint64[n]", error) from None


cdef inline const int32_t[::1] int32s(object array, str name):
    try:
        return present(array)
    except (TypeError, ValueError, BufferError) as error:
        raise wrong_array(name, "int32[n]", error) from None


cdef inline const int64_t[::1] int64s(object array, str name):
    try:
        return present(array)
    except (TypeError, ValueError, BufferError) as error:
        raise wrong_array(name, "int64[n]", error) from None


cdef inline const uint8_t[:, ::1] byte_rows(object array, str name, Py_ssize_t width):
    """uint8[n, width]."""
    cdef const uint8_t[:, ::1] rows
    try:
        rows = present(array)
        if rows.shape[1] == width:
            return rows
        raise ValueError(f"it is [{rows.shape[0]}, {rows.shape[1]}]")
    except (TypeError, ValueError, BufferError) as error:
        raise wrong_array(name, f"uint8[n, {width}]", error) from None


# ---- arrays that are written ----

cdef inline uint8_t[::1] writable8(object array, str name):
    try:
        return present(array)
    except (TypeError, ValueError, BufferError) as error:
        raise wrong_array(name, "uint8[n] that can be written", error) from None


cdef inline uint16_t[::1] writable16(object array, str name):
    try:
        return present(array)
    except (TypeError, ValueError, BufferError) as error:
        raise wrong_array(name, "uint16[n] that can be written", error) from None


cdef inline uint32_t[::1] writable32(object array, str name):
    try:
        return present(array)
    except (TypeError, ValueError, BufferError) as error:
        raise wrong_array(name, "uint32[n] that can be written", error) from None


cdef inline int32_t[::1] writable_int32(object array, str name):
    try:
        return present(array)
    except (TypeError, ValueError, BufferError) as error:
        raise wrong_array(name, "int32[n] that can be written", error) from None


cdef inline const uint16_t[::1] rows_in_use(object array, str name, const int* count):
    """uint16[n], rows of a batch."""
    cdef const uint16_t[::1] rows = uint16s(array, name)
    cdef Py_ssize_t k
    for k in range(rows.shape[0]):
        if rows[k] >= count[0]:
            raise ValueError(f"{name}[{k}]: {rows[k]} is not below the batch's count {count[0]}")
    return rows


cdef inline int apart(const void* out, size_t out_bytes, str name, const void* given, size_t bytes, str other) except -1:
    """What is written does not lie where something is still to be read."""
    cdef size_t at = <size_t> out, there = <size_t> given
    if at < there + bytes and there < at + out_bytes:
        raise ValueError(f"{name} must not share memory with {other}")
    return 0


cdef inline int same_size(Py_ssize_t size, str name, Py_ssize_t wanted, str other) except -1:
    """Columns that belong together are of one length."""
    if size != wanted:
        raise ValueError(f"{name} must have the {wanted} elements of {other}, not {size}")
    return 0


cdef inline int hold(object value, str name, Py_buffer* held) except -1:
    """What is bytes-like where it lies, contiguous, until PyBuffer_Release."""
    try:
        return PyObject_GetBuffer(value, held, PyBUF_SIMPLE)
    except (TypeError, BufferError):
        raise TypeError(f"{name} must be bytes-like and contiguous, not {type(value).__name__}") from None
