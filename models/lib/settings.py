"""What model.yaml says of the life of a model after its training: serving, objectives, retraining, machines."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from models.lib.limits import Reason, Strict

# Folders of deploy/strategies; the canary is deploy/base itself.
Strategy = Literal["canary", "gateway", "bluegreen", "serverless", "kserve", "seldon"]


class Canary(Strict):
    requests: Annotated[int, Field(ge=30)] = 300  # more to the canary before each weight is left, within an hour


class Log(Strict):
    """A sampled log of requests and answers, without the columns that the schema marks as personal."""

    share: Annotated[float, Field(gt=0, le=1)]  # of requests
    days: Annotated[int, Field(ge=1)] = 7  # after which a file is removed


class Objectives(Strict):
    """What callers may rely on; alerts fire by how fast the rest is used up."""

    availability: Annotated[float, Field(gt=0, lt=1)] = 0.999  # share of requests that are not answered with 5xx
    latency: Annotated[float, Field(gt=0, lt=1)] = 0.99  # share of requests within serving.latency_budget_ms


class Retraining(Strict):
    """When a model that runs asks to be trained again."""

    again_after: Annotated[int, Field(ge=1)] = 7  # days after the last proposal was closed


class Price(Strict):
    """What a CPU costs you, for the report."""

    cpu_hour: Annotated[float, Field(gt=0)]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]


class Kubeflow(Strict):
    """What a pod gets where a pipeline or a TrainJob makes the model; GPUs and their nodes are for training alone."""

    cpu: str = "2"
    memory: str = "8Gi"
    gpus: Annotated[int, Field(ge=0)] = 0
    nodes: dict[str, str] = Field(default_factory=dict)  # labels of the node pool
    retries: Annotated[int, Field(ge=0)] = 1
    minutes: Annotated[int, Field(ge=1)] = 120  # after which it is ended
    workers: Annotated[int, Field(ge=1)] = 1  # nodes of a TrainJob


class Serving(Strict):
    api: Annotated[int, Field(ge=1)] = 1  # raised by one, it says that callers know of a contract that breaks requests
    # Former features: still accepted, ignored and counted, so that a canary answers what the champion answers. Taking
    # one out of this list refuses those who send it, which a raised `api` declares.
    dropped: list[str] = Field(default_factory=list)
    # Why labels change more than gates.shift allows, in the words of the team; the next such release needs its own.
    shift: Reason | None = None
    max_rows: Annotated[int, Field(ge=1, le=10_000)]  # rows in one request
    max_body_bytes: Annotated[int, Field(ge=1_000)]
    latency_budget_ms: Annotated[float, Field(gt=0)]  # histogram buckets are densest around it
    # A request above it is slow: with 5-15 % of traffic above. Without it `measure` finds it, beside the champion.
    slow_ms: Annotated[float, Field(gt=0)] | None = None
    strategy: Strategy = "canary"
    canary: Canary = Canary()  # of the strategies canary and gateway
    feedback_days: Annotated[int, Field(ge=1, le=400)] = 60  # for which the outcome of a prediction is taken
    log: Log | None = None  # off
