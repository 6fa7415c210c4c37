"""The checked tidy frame, and the arrays that every estimate starts from."""
