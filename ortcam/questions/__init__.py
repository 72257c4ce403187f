"""What is asked: classes, differences, and the parts of a picture they are asked about."""
