# Nothing here is for Python: packetio cimports it.
