"""Writes events.tfevents by TensorBoard's own messages and record writer: pip install tensorboard."""
import pathlib

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

steps = [
    (1, {"train/loss": 2.5, "train/learningRate": 0.001, "train/gradientNorm": 0.75, "train/tokensPerSecond": 1234.5}),
    (300, {"validation/loss": 2.25, "validation/bitsPerByte": 1.1}),
]
with open(pathlib.Path(__file__).with_name("events.tfevents"), "wb") as file:
    writer = RecordWriter(file)
    writer.write(Event(wall_time=1700000000.25, file_version="brain.Event:2").SerializeToString())
    for step, values in steps:
        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()])
        writer.write(Event(wall_time=1700000000.25, step=step, summary=summary).SerializeToString())
    writer.flush()
