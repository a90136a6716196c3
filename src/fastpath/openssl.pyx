"""openssl: the functions of cryptography's OpenSSL that carry records, called without the GIL.

pyOpenSSL makes contexts and shakes hands; dtls and stream call the same library through the addresses that cryptography's cffi
module gives, so there is no second OpenSSL and no header to install.
"""

from libc.stdint cimport uintptr_t

try:
    from cryptography.hazmat.bindings._rust import _openssl
except ImportError as error:
    raise ImportError("fastpath needs the OpenSSL inside cryptography: pip install 'cryptography>=44'") from error


cdef uintptr_t address_of(str name) except 0:
    """The address of a function of cryptography's OpenSSL."""
    if not hasattr(_openssl.lib, name):
        raise ImportError(f"fastpath: cryptography's OpenSSL has no {name}; install a release known to have it: "
                          "pip install 'cryptography>=44,<51'")
    return <uintptr_t> int(_openssl.ffi.cast("uintptr_t", _openssl.ffi.addressof(_openssl.lib, name)))

ssl_read = <Transfer> address_of("SSL_read")
ssl_write = <Transfer> address_of("SSL_write")
bio_read = <Transfer> address_of("BIO_read")
bio_write = <Transfer> address_of("BIO_write")
ssl_get_error = <ErrorOf> address_of("SSL_get_error")
err_clear_error = <Clear> address_of("ERR_clear_error")


cdef void* _pointer(handle) except NULL:
    return <void*> <uintptr_t> int(_openssl.ffi.cast("uintptr_t", handle))


cdef Handles handles_of(connection) except *:
    cdef Handles found
    for name in ("_ssl", "_into_ssl", "_from_ssl"):
        if getattr(connection, name, None) is None:
            raise TypeError("connection must be an OpenSSL.SSL.Connection made with socket None")
    found.ssl = _pointer(connection._ssl)
    found.inbound, found.outbound = _pointer(connection._into_ssl), _pointer(connection._from_ssl)
    return found


cdef int forbid_renegotiation(connection) except -1:
    _openssl.lib.SSL_set_options(connection._ssl, _openssl.lib.SSL_OP_NO_RENEGOTIATION)
    return 0
