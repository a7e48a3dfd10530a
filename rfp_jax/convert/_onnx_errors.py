"""The errors that a file of the ONNX format can meet."""


class OnnxFileError(ValueError):
    """A file is damaged, is not an ONNX model, or asks for something unsafe."""


class UnsupportedOnnxError(NotImplementedError):
    """A model is sound, but uses operators or a version that cannot be read here."""


class OnnxNodeError(ValueError):
    """A node cannot be computed for the inputs that were given."""
