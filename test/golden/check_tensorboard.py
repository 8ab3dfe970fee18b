"""Reads event files that trainformer writes with TensorBoard's own readers: the checksummed record reader, the accumulator
of classic values, and the one that serves its plugins.

    pip install tensorboard==2.21.0 protobuf numpy pillow
    npm run build && python test/golden/check_tensorboard.py
"""

import io
import pathlib
import struct
import subprocess
import tempfile

import numpy as np
from PIL import Image
from tensorboard.backend.event_processing import event_accumulator, event_file_loader, plugin_event_accumulator
from tensorboard.compat.proto import event_pb2
from tensorboard.compat.tensorflow_stub import pywrap_tensorflow
from tensorboard.plugins.hparams import plugin_data_pb2
from tensorboard.util import tensor_util

root = pathlib.Path(__file__).parents[2]


def records(path):
    """Payloads, with TensorBoard's own CRC-32C of each length and payload compared."""
    data = path.read_bytes()
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        payload = data[12 : 12 + length]
        assert struct.unpack("<I", data[8:12])[0] == pywrap_tensorflow.masked_crc32c(data[:8])
        assert struct.unpack("<I", data[12 + length : 16 + length])[0] == pywrap_tensorflow.masked_crc32c(payload)
        data = data[16 + length :]
        yield payload


def read(folder):
    files = sorted(folder.glob("events.out.tfevents.*"))
    assert [path.name.split(".")[3] for path in files] == ["1700000000"] * len(files)
    for path in files:
        own = [event_pb2.Event.FromString(payload) for payload in records(path)]
        assert own == list(event_file_loader.LegacyEventFileLoader(str(path)).Load())
        assert own[0].file_version == "brain.Event:2"
        # What we write is what protobuf writes.
        assert [event.SerializeToString() for event in own] == list(records(path)), path
    return files


def accumulate(kind, folder):
    accumulator = kind(str(folder), size_guidance={"tensors": 0, "scalars": 0})
    accumulator.Reload()
    return accumulator


def pixels(encoded):
    return np.asarray(Image.open(io.BytesIO(encoded)))


with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    subprocess.run(["node", root / "test" / "programs" / "write-events.mjs", folder], check=True)

    assert len(read(folder)) == 2
    classic = accumulate(event_accumulator.EventAccumulator, folder)
    steps = [(event.step, event.value) for event in classic.Scalars("train/loss")]
    assert steps == [(i, 20 - i) for i in range(10)] + [(i, 100 - i) for i in range(10, 15)], steps
    (histogram,) = classic.Histograms("weights/a")
    values = np.array([((37 * i) % 101 - 50) / 64 for i in range(300)])
    assert histogram.histogram_value.num == 300 and sum(histogram.histogram_value.bucket) == 300
    assert histogram.histogram_value.sum == values.sum() and histogram.histogram_value.sum_squares == values.dot(values)
    rgb, gray, rgba = (classic.Images(f"image/{kind}")[0] for kind in ("rgb", "gray", "rgba"))
    assert (rgb.height, rgb.width, rgb.step) == (5, 7, 2)
    i = np.arange(5 * 7 * 3)
    assert (pixels(rgb.encoded_image_string) == (i * i * 7 % 256).reshape(5, 7, 3)).all()
    expected = (np.arange(35, dtype=np.float32) / 34 * 255).astype(np.uint8).reshape(5, 7)
    assert (pixels(gray.encoded_image_string) == expected).all()
    expected = (np.arange(4 * 35) * 11 % 256).reshape(4, 5, 7).transpose(1, 2, 0)
    assert (pixels(rgba.encoded_image_string) == expected).all()

    modern = accumulate(plugin_event_accumulator.EventAccumulator, folder)
    plugins = {tag: modern.SummaryMetadata(tag).plugin_data.plugin_name for tag in modern.Tags()["tensors"]}
    assert plugins == {
        "train/loss": "scalars",
        "weights/a": "histograms",
        "args/text_summary": "text",
        "image/rgb": "images",
        "image/gray": "images",
        "image/rgba": "images",
    }, plugins
    (text,) = modern.Tensors("args/text_summary")
    assert tensor_util.make_ndarray(text.tensor_proto).item().decode() == "# größer"
    buckets = tensor_util.make_ndarray(modern.Tensors("weights/a")[0].tensor_proto)
    assert buckets[:, 2].sum() == 300 and (buckets[:-1, 1] == buckets[1:, 0]).all()
    for left, right, count in buckets[:-1]:
        assert count == ((values >= left) & (values < right)).sum(), (left, right, count)

    for run, value in (("train", 1.5), ("eval", 2.5)):
        read(folder / f"both_{run}")
        (point,) = accumulate(event_accumulator.EventAccumulator, folder / f"both_{run}").Scalars("both")
        assert (point.step, point.value) == (4, value)

    read(folder / "trial")
    trial = accumulate(plugin_event_accumulator.EventAccumulator, folder / "trial")
    contents = {
        tag: plugin_data_pb2.HParamsPluginData.FromString(content)
        for tag, content in trial.PluginTagToContent("hparams").items()
    }
    start = contents["_hparams_/session_start_info"].session_start_info
    assert start.hparams["lr"].number_value == 0.5 and start.hparams["name"].string_value == "b"
    assert start.hparams["bf16"].bool_value is True
    infos = contents["_hparams_/experiment"].experiment
    assert [(info.name, info.type) for info in infos.hparam_infos] == [("lr", 3), ("name", 1), ("bf16", 2)]
    assert [info.name.tag for info in infos.metric_infos] == ["eval/loss"]
    assert contents["_hparams_/session_end_info"].session_end_info.status == 1
print("TensorBoard reads what trainformer writes")
