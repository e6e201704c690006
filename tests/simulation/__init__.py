"""The whole engine against the bundled exchange in virtual time, from one seed."""
