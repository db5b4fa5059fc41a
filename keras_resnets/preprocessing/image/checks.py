"""What the functions on images ask of their arguments."""


def check_rgb(name, images):
    if images.shape[-1] != 3:
        raise ValueError(
            f"`{name}` must have three channels, (..., height, width, 3), for a change of colours. "
            f"Received: {name}.shape={tuple(images.shape)}"
        )


def check_range(name, value, low, high):
    """`value` is two numbers in order, within `low` and `high`."""
    if len(value) != 2 or not low < value[0] <= value[1] <= high:
        raise ValueError(
            f"`{name}` must be two numbers in order, in ({low}, {high}]. Received: {name}={value}"
        )
