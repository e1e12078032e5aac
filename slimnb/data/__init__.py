"""A data set's name, or a user's own file -> validated rows."""
