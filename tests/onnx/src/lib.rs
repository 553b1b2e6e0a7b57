//! Models written by `lokr-onnx`, run in other people's engines: see `README.md` beside this.
