"""Post-training quantization: a float ONNX network becomes a QONNX one that the array runs exactly.

reader, operators   bytes to steps, and folding: what folds into them
points              where quantizers stand
observe             what the float network does on data; runtime: onnxruntime
scales, rounding    which scales, and which whole numbers
calibrated          a quantized network of any widths
writer              the QONNX file, and its twin in standard operators
quality, trial      how good, and how dear on a fabric: the cost model's answer
search              mixed widths, with Optuna; front_picture: what it found
task, result        the command's work, and its tables
"""
