"""The life of an attempt: claimed, renewed, watched, ended; and the health of its worker."""
