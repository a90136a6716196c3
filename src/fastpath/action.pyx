"""What becomes of a packet and why: the enumerations that every stage shares. Declared in action.pxd."""
