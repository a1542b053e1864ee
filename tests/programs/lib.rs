//! Nothing: a package must have a library or a main program, and all that this one has are examples.
