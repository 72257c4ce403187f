"""Questions: classes, differences, and the parts of a picture that they are about."""
