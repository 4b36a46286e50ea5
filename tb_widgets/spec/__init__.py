"""A run, described by one validated object."""

from tb_widgets.spec.asked import asked_for
from tb_widgets.spec.fields import FieldCard
from tb_widgets.spec.presets import PRESETS, Preset, preset
from tb_widgets.spec.rates import RATES
from tb_widgets.spec.run_spec import SCHEMA_VERSION, RunSpec
from tb_widgets.spec.sections import (
    CheckpointSpec,
    DataSpec,
    EvaluationSpec,
    HardwareSpec,
    ModelSpec,
    Optimiser,
    ParameterRole,
    Schedule,
    TokenizerSpec,
    TrackingSpec,
    TrainingSpec,
)
from tb_widgets.spec.tasks import TASKS, Task, TaskRecord, task_record
from tb_widgets.spec.text import read_settings, read_value

__all__ = [
    "PRESETS",
    "RATES",
    "SCHEMA_VERSION",
    "TASKS",
    "CheckpointSpec",
    "DataSpec",
    "EvaluationSpec",
    "FieldCard",
    "HardwareSpec",
    "ModelSpec",
    "Optimiser",
    "ParameterRole",
    "Preset",
    "RunSpec",
    "Schedule",
    "Task",
    "TaskRecord",
    "TokenizerSpec",
    "TrackingSpec",
    "TrainingSpec",
    "asked_for",
    "preset",
    "read_settings",
    "read_value",
    "task_record",
]
