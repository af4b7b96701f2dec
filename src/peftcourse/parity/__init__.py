"""The same method here and in the library of reference, to compare what the two compute."""
