"""KerasTuner, which is an extra: it is imported where a search needs it."""


def import_keras_tuner():
    """The module `keras_tuner`.

    Raises:
        ImportError: it is not installed; with what to install.
    """
    try:
        import keras_tuner
    except ImportError as error:
        raise ImportError(
            "A KerasTuner search needs keras-tuner: pip install keras_resnets[tuner]"
        ) from error
    return keras_tuner
