"""Training of the small QONNX networks with PyTorch and Brevitas (the extra `train`); the trained ones lie in `models/`.

images      MNIST, or scikit-learn's digits where it is absent; augmentation
quantizers  what is quantized how, so that integers are exact
networks    the architectures
norms       batch normalization in front of quantizers of several bits, exact
fit         the loop: straight-through gradients, a floating-point teacher
export      Brevitas' QONNX, its weights stored in a byte each

    python -m tests.training mlp1 --data mnist_train.npz --test mnist_test.npz --out mlp1.onnx
    python -m tests.training cnn2 --data mnist_train.npz --test mnist_test.npz --out cnn2.onnx --teacher cnnf.pt \\
        --teacher-epochs 30 --epochs 30 --rate 2e-3
"""
