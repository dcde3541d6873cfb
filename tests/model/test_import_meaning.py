"""Import: what the outputs mean and how pictures are prepared, by the checkpoint, by files beside it, or by the card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from bin_daemon.domain import Category
from bin_daemon.errors import ConfigError, ModelError
from bin_daemon.model.bundle import BundleMetadata, Preprocessing
from bin_daemon.model.importing import Chosen, import_checkpoint
from bin_daemon.model.taxonomy import labels265
from tests.model import import_rig as rig

NAMES = [x.label for x in labels265()[:4]]
CARD: list[dict[str, Any]] = [
    {"type": "LoadImageFromFile"},
    {"type": "Resize", "size": [256, -1], "backend": "pillow", "interpolation": "bicubic"},
    {"type": "CenterCrop", "crop_size": 224},
    {"type": "Normalize", "mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375], "to_rgb": True},
    {"type": "ImageToTensor", "keys": ["img"]},
    {"type": "Collect", "keys": ["img"]},
]
"""The test transforms of mmcls's ConvNeXt configs, as ModelScope's configuration.json holds such."""


def imported(folder: Path, meta: Any = None, outputs: int = 4, **options: Any) -> tuple[BundleMetadata, Chosen]:
    """Import a checkpoint with this ``meta`` from ``folder``."""
    torch.save({"meta": meta, "state_dict": rig.mmcls(rig.weights(outputs))}, folder / "pytorch_model.pt")
    told: list[Chosen] = []
    bundle = import_checkpoint(folder, None, folder / "state", on_chosen=told.append, **options)
    return bundle.metadata, told[0]


def table(folder: Path, text: str) -> Path:
    """A file of labels."""
    file = folder / "labels.csv"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize("meta", [{"CLASSES": NAMES}, {"dataset_meta": {"classes": tuple(NAMES)}}, {"classes": NAMES}])
def test_the_checkpoints_own_names_count(meta: Any, tmp_path: Path) -> None:
    """As mmcls and as mmpretrain write them."""
    assert imported(tmp_path, meta)[0].labels == labels265()[:4]


def test_265_outputs_without_names_are_the_cards(tmp_path: Path) -> None:
    """With a word about it, for nothing in the file says so."""
    metadata, chosen = imported(tmp_path, None, 265)
    assert metadata.labels == labels265()
    assert "taken for the 265 of the card" in chosen.labels_reason


def test_other_outputs_without_names_need_a_file(tmp_path: Path) -> None:
    """Nothing is guessed."""
    with pytest.raises(ModelError, match="4 outputs and no class names") as caught:
        imported(tmp_path)
    assert "--labels" in caught.value.hint


def test_names_that_are_not_of_the_265_need_categories(tmp_path: Path) -> None:
    """The error names the first one; with a table they are taken in the checkpoint's order, not the table's."""
    names = ["cup", "banana", "battery", "tissue"]
    with pytest.raises(ModelError, match="class 0, 'cup'"):
        imported(tmp_path, {"CLASSES": names})
    file = table(
        tmp_path,
        "category,label,gloss\nkitchen,banana,\nhazardous,battery,cell\nother,tissue,\nother,cup,\nother,unused,\n",
    )
    labels = imported(tmp_path, {"CLASSES": names}, labels=file)[0].labels
    assert [x.label for x in labels] == names
    assert [x.category for x in labels] == [Category.OTHER, Category.KITCHEN, Category.HAZARDOUS, Category.OTHER]
    assert labels[2].gloss == "cell"


def test_a_list_of_names_gives_the_order(tmp_path: Path) -> None:
    """``classname.txt`` of the card's data set, with a byte-order mark and Windows line ends."""
    names = [NAMES[2], "其他垃圾-陶瓷", NAMES[0], NAMES[1]]
    file = tmp_path / "classname.txt"
    file.write_bytes("\ufeff".encode() + "\r\n".join(names).encode())
    assert [x.label265 for x in imported(tmp_path, labels=file)[0].labels] == [2, 250, 0, 1]


def test_a_table_may_give_a_label_another_category(tmp_path: Path) -> None:
    """The row's category counts; gloss and index of a known label come along."""
    file = table(tmp_path, "label,category\n可回收物-充电宝,hazardous\na,other\nb,other\nc,other\n")
    first = imported(tmp_path, labels=file)[0].labels[0]
    assert (first.category, first.label265, first.gloss) == (Category.HAZARDOUS, 67, "power bank")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("label,category\na,other\nb,toxic\n", "line 3: category 'toxic' is none of recyclable"),
        ("label,category\na,other\n,other\n", "line 3: "),
        ("label,category\na,other\na,other\n", "label 'a' stands there twice"),
        ("label,category\na,other\nb,other\n", "4 outputs, but 2 labels"),
        ("apple\npear\n", "class 0, 'apple'"),
        ("label,category\na\nb\nc\nd\n", "line 2: category ''"),
    ],
)
def test_a_bad_list_of_labels_is_refused(text: str, words: str, tmp_path: Path) -> None:
    """File, line and value."""
    with pytest.raises(ModelError) as caught:
        imported(tmp_path, labels=table(tmp_path, text))
    assert words in str(caught.value)
    assert not (tmp_path / "state").exists()


def test_lists_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    """Missing, a folder, GBK instead of UTF-8, huge; a table without one of the checkpoint's classes."""
    with pytest.raises(ModelError, match="No such file"):
        imported(tmp_path, labels=tmp_path / "none.csv")
    with pytest.raises(ModelError, match="Is a directory"):
        imported(tmp_path, labels=tmp_path)
    (tmp_path / "gbk.txt").write_bytes("厨余垃圾-苹果".encode("gbk"))
    with pytest.raises(ModelError, match="not UTF-8"):
        imported(tmp_path, labels=tmp_path / "gbk.txt")
    (tmp_path / "huge.txt").write_bytes(b"a\n" * 3_000_000)
    with pytest.raises(ModelError, match="more than"):
        imported(tmp_path, labels=tmp_path / "huge.txt")
    with pytest.raises(ModelError, match="lacks the checkpoint's class 0"):
        imported(tmp_path, {"CLASSES": NAMES}, labels=table(tmp_path, "label,category\na,other\n"))


@pytest.mark.parametrize("names", [[*NAMES, NAMES[0]], NAMES[:3], [NAMES[0]] * 4])
def test_names_that_do_not_match_the_outputs_are_refused(names: list[str], tmp_path: Path) -> None:
    """One too many, one too few, twice the same."""
    with pytest.raises(ModelError, match=r"4 outputs, but|stands at index 0 and again at 1"):
        imported(tmp_path, {"CLASSES": names})


@pytest.mark.parametrize("names", ["abcd", [1, 2, 3, 4], ["a", ""], {"a": 0}])
def test_class_names_of_another_kind_are_refused(names: Any, tmp_path: Path) -> None:
    """Whatever stands where the names should."""
    with pytest.raises(ModelError, match="not a list of names"):
        imported(tmp_path, {"CLASSES": names})


def configure(folder: Path, steps: Any) -> None:
    """ModelScope's file beside the checkpoint."""
    (folder / "configuration.json").write_text(json.dumps({"preprocessor": {"val": steps}}), encoding="utf-8")


def preprocessing(folder: Path, meta: dict[str, Any] | None = None, **options: Any) -> tuple[Preprocessing, str]:
    """What the import made of it, and why."""
    metadata, chosen = imported(folder, {"CLASSES": NAMES, **(meta or {})}, **options)
    return metadata.preprocessing, chosen.preprocessing_reason


def test_without_a_word_it_is_the_cards(tmp_path: Path) -> None:
    """Short side 256, Pillow bicubic, crop 224, ImageNet's mean and deviation."""
    assert preprocessing(tmp_path) == (Preprocessing(), "nothing says: the card's")
    (tmp_path / "configuration.json").write_text('{"framework": "pytorch"}')
    assert preprocessing(tmp_path) == (Preprocessing(), "nothing says: the card's")


def test_the_usual_configuration_is_the_cards(tmp_path: Path) -> None:
    """The transforms that mmcls's ConvNeXt configs have, value for value."""
    configure(tmp_path, CARD)
    assert preprocessing(tmp_path) == (Preprocessing(), "configuration.json, preprocessor.val")


def test_a_configuration_decides_each_value(tmp_path: Path) -> None:
    """Backend, interpolation, sizes, colour order, mean and deviation; sides as pairs; mmcls's defaults where none stand."""
    configure(
        tmp_path,
        [
            {"type": "Resize", "size": [320, -1]},
            {"type": "CenterCrop", "crop_size": [288, 288]},
            {"type": "Normalize", "mean": [127.5, 127.5, 102], "std": [51, 51, 51], "to_rgb": False},
        ],
    )
    how, _ = preprocessing(tmp_path)
    assert (how.backend, how.interpolation, how.resize, how.resize_px, how.crop_px) == (
        "cv2",
        "bilinear",
        "short",
        320,
        288,
    )
    assert (how.colour, how.mean, how.std) == ("bgr", (0.5, 0.5, 0.4), (0.2, 0.2, 0.2))


def test_a_number_squeezes_to_a_square(tmp_path: Path) -> None:
    """Given one number, mmcls's Resize does not keep the picture's shape; without a crop the whole square is used."""
    configure(tmp_path, [{"type": "Resize", "size": 224, "backend": "pillow"}, CARD[3]])
    how, _ = preprocessing(tmp_path)
    assert (how.resize, how.resize_px, how.crop_px, how.interpolation) == ("square", 224, 224, "bilinear")


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ("Resize", "preprocessor.val: not a list"),
        ([*CARD[:3]], "preprocessor.val: no Normalize"),
        ([CARD[3]], "preprocessor.val: no Resize"),
        ([CARD[1], CARD[3]], "no CenterCrop"),
        ([{"type": "ResNet"}], "val[0]: type: 'ResNet' is not implemented"),
        ([{"size": 224}], "val[0]: a transform without a type"),
        ([CARD[0], {"type": "Resize", "size": [256, 224]}], "val[1]: size: [256, 224] is not implemented"),
        ([{"type": "Resize", "size": [256, -1], "adaptive_side": "long"}], "val[0]: adaptive_side: 'long'"),
        ([{"type": "Resize", "size": [256, -1], "backend": "turbo"}], "val[0]: backend: 'turbo'"),
        ([{**CARD[1], "interpolation": "area"}, *CARD[2:]], "no area"),
        ([{**CARD[1], "interpolation": "magic"}, *CARD[2:]], "interpolation: 'magic'"),
        ([{**CARD[2], "efficientnet_style": True}], "efficientnet_style: True"),
        ([{**CARD[3], "mean": [1, 2]}], "mean: [1, 2] is not three numbers"),
        ([*CARD[:3], {**CARD[3], "std": [0, 1, 1]}], "std"),
        ([{**CARD[1], "size": ["a", -1]}, *CARD[2:]], "resize_px: 'a'"),
        ([CARD[1], {"type": "CenterCrop", "crop_size": 300}, CARD[3]], "crop_px 300 is larger than resize_px 256"),
    ],
)
def test_what_is_not_implemented_is_refused(steps: Any, words: str, tmp_path: Path) -> None:
    """File, key and value; an option passes over the file."""
    configure(tmp_path, steps)
    with pytest.raises(ModelError) as caught:
        preprocessing(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'configuration.json'}: ")
    assert words in str(caught.value)
    assert "--card-preprocessing" in caught.value.hint
    assert preprocessing(tmp_path, card_preprocessing=True) == (Preprocessing(), "the card's, as asked for")


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe{", b"[" * 100_000])
def test_a_configuration_that_is_no_json_is_refused(content: bytes, tmp_path: Path) -> None:
    """Empty, cut off, a list, another encoding, nested without end."""
    (tmp_path / "configuration.json").write_bytes(content)
    with pytest.raises(ModelError, match=r"configuration\.json: not "):
        preprocessing(tmp_path)


MMCLS_TEXT = """
img_norm_cfg = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
data = dict(
    samples_per_gpu=64,
    test=dict(pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='Resize', size=(248, -1), backend='pillow', interpolation='bicubic'),
        dict(type='CenterCrop', crop_size=224),
        dict(type='Normalize', mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5], to_rgb=True),
        dict(type='Collect', keys=['img'])]))
"""
MMPRETRAIN_TEXT = """
data_preprocessor = dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5], num_classes=4, to_rgb=True)
test_dataloader = dict(batch_size=64, dataset=dict(pipeline=[
    dict(type='LoadImageFromFile'),
    dict(type='ResizeEdge', scale=248, edge='short', backend='pillow', interpolation='bicubic'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs')]))
"""
MODELSCOPE_TEXT = MMCLS_TEXT.replace(
    "data = dict(\n    samples_per_gpu=64,\n    test=dict(pipeline=[", "preprocessor = dict(val=["
).replace("]))\n", "])\n")


@pytest.mark.parametrize(
    ("key", "text", "place"),
    [
        ("config", MMCLS_TEXT, "meta.config: data.test.pipeline"),
        ("cfg", MMPRETRAIN_TEXT, "meta.cfg: test_dataloader.dataset.pipeline"),
        ("config", MODELSCOPE_TEXT, "meta.config: preprocessor.val"),
    ],
)
def test_the_config_inside_a_checkpoint_counts_where_no_file_does(
    key: str, text: str, place: str, tmp_path: Path
) -> None:
    """As mmcls, mmpretrain and ModelScope's trainer write it; the file beside the checkpoint beats it."""
    how, why = preprocessing(tmp_path, {key: text})
    assert why == place
    assert how == Preprocessing(resize_px=248, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    configure(tmp_path, CARD)
    assert preprocessing(tmp_path, {key: text})[0] == Preprocessing()


@pytest.mark.parametrize(
    "text", ["", "not python (", "x = __import__('os').mkdir('{trap}')", "data = [" * 5000, "a = 1\0", "{**{}}", 7]
)
def test_a_config_text_is_never_run(text: Any, tmp_path: Path) -> None:
    """Code in it makes nothing; nonsense says nothing."""
    trap = tmp_path / "trap"
    said = text.replace("{trap}", str(trap)) if isinstance(text, str) else text
    assert preprocessing(tmp_path, {"config": said}) == (Preprocessing(), "nothing says: the card's")
    assert not trap.exists()


def test_an_id_must_be_a_name(tmp_path: Path) -> None:
    """It goes into events and folder names."""
    assert imported(tmp_path, {"CLASSES": NAMES}, bundle_id="kitchen-1")[0].id == "kitchen-1"
    with pytest.raises(ConfigError, match=r"--id '\.\./up'"):
        imported(tmp_path, {"CLASSES": NAMES}, bundle_id="../up")
