def area(width, height):
    """Return the ‸
    """
    return width * height
